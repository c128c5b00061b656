#!/usr/bin/env bash
# What the accelerator brings on this machine, into docs/accelerator.md: bench-accelerator.sh [CLIP]...
# RUNS=N sets the number of rounds. The machine should do nothing else meanwhile.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

page=docs/accelerator.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
vectors=${IOTDEC_VECTORS-$ROOT/../shared/vectors}
clips=("$@")
if [ ${#clips[@]} -eq 0 ] && [ -e "$vectors/MANIFEST.tsv" ]; then
    # As a camera encodes it: 1080p at 25 frames and 3 Mbit a second, without B-frames; 12 seconds of it.
    for _ in 1 2 3 4 5; do cat "$vectors/gen/h264_1080p_hp.264"; done >"$work/source.264"
    setup/devenv gst-launch-1.0 -q filesrc location="$work/source.264" ! h264parse ! avdec_h264 ! videoconvert \
        ! x264enc bitrate=3000 bframes=0 key-int-max=50 ! video/x-h264,profile=high \
        ! h264parse ! video/x-h264,stream-format=byte-stream ! filesink location="$work/camera-1080p.264"
    clips=("$vectors"/gen/{av1_720p.ivf,h264_720p_hp.264,h264_720p_bp.264,h265_720p.265,vp8_720p.ivf,vp9_720p.ivf}
        "$vectors"/gen/{mpeg2_720p.m2v,mjpeg_720p.mjpeg,h265_1080p.265} "$work/camera-1080p.264")
elif [ ${#clips[@]} -eq 0 ]; then
    clips=(samples/yard-h264.264 samples/yard-h265.265)
fi

bench() { setup/devenv "$@" --markdown "${clips[@]}"; }
{
    bench build/cli/iotdec bench --accelerator --runs "${RUNS-7}" --seconds 15
    printf '\nPlayer, worker and all on one processor:\n\n'
    bench taskset -c 0 build/cli/iotdec bench --contenders iotdec --runs 1 --seconds 15
} >"$work/tables"
awk -v tables="$work/tables" '
    /^<!-- measured -->$/ { inside = 0 }
    !inside { print }
    /^<!-- measured: / { inside = 1; while ((getline line < tables) > 0) print line }
' "$page" >"$work/page"
cp "$work/page" "$page"
