//! What can be said on the command line.

use crate::bench::Contender;
use clap::builder::PossibleValue;
use clap::{Parser, Subcommand, ValueEnum};
use iotdec_bridge::Wish;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  iotdec list                          which decoders there are, and what the others lack
  iotdec play                          decode and show the sample clip
  iotdec play door.mp4                 any file that GStreamer can read
  iotdec bench clip.264 --runs 9       decoding speed, compared with other ways to do it

Environment:
  GST_PLUGIN_PATH      where GStreamer looks for the iotdec plugin first
  IOTDEC_DECODER_PATH  directories of further decoder manifests, separated by colons
  IOTDEC_SYSROOT       the aarch64 system that the decoder libraries run in
  IOTDEC_QEMU          the emulator, instead of qemu-aarch64 on PATH
  IOTDEC_ACCEL         the accelerator's plugin for QEMU, instead of the one that was installed
  IOTDEC_ACCEL_MODE    how much of it to use, instead of what manifests say; see --accel
  IOTDEC_SAMPLES       where the sample clips are, instead of where they were installed
  IOTDEC_PNG           where play saves a frame without a display, instead of iotdec-frame.png";

/// Decodes video in GStreamer with aarch64 libraries that this machine cannot run itself.
#[derive(Debug, Parser)]
#[command(name = "iotdec", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What iotdec can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the decoders, and tell what is missing where one cannot run.
    List(ListArgs),
    /// Decode a file and show it; without a display, count its frames and save one.
    Play(PlayArgs),
    /// Measure how fast a decoder is in GStreamer, and what other ways would cost.
    Bench(BenchArgs),
    /// Make a library for native programs whose functions a library for aarch64 does, or
    /// the other way round.
    Wrap(WrapArgs),
    /// Call a function of a library for aarch64.
    Call(CallArgs),
}

/// Arguments of `iotdec list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Print JSON, with more in it.
    #[arg(long)]
    pub json: bool,
}

/// Which decoder is to be used.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DecoderArgs {
    /// The decoder to use, as `iotdec list` names it [default: the best-ranked that fits].
    #[arg(long, value_name = "NAME")]
    pub decoder: Option<String>,
    /// The aarch64 library to decode with [default: the decoder's own].
    #[arg(long, value_name = "PATH")]
    pub library: Option<PathBuf>,
    /// How much of the accelerator to use [default: as the manifest says, or as much as works].
    #[arg(long, value_name = "MODE")]
    pub accel: Option<Accel>,
}

/// How much of the accelerator is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accel(Wish);

impl ValueEnum for Accel {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self(Wish::Auto),
            Self(Wish::Off),
            Self(Wish::Native),
            Self(Wish::Turbo),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            Wish::Auto => "As the manifest or the environment says, or as much as works",
            Wish::Off => "Nothing: QEMU alone",
            Wish::Native => "Native functions of the C library, or an error",
            Wish::Turbo => "The second translator and native functions, or an error",
        };
        Some(PossibleValue::new(self.0.name()).help(help))
    }
}

impl Accel {
    /// The element's property `accel`.
    pub fn nick(self) -> &'static str {
        self.0.name()
    }

    /// The same for who starts workers: `auto` leaves it to the manifest.
    pub fn wish(self) -> Option<Wish> {
        Some(self.0).filter(|wish| *wish != Wish::Auto)
    }
}

const PLAY_EXAMPLES: &str = "\
Examples:
  iotdec play door.mp4
  iotdec play clip.265 --decoder de265 --library ./libde265.so
  iotdec play clip.264 --headless --accel off
  iotdec play clip.264 --headless --json --png frame.png";

/// Arguments of `iotdec play`.
#[derive(Debug, clap::Args)]
#[command(after_help = PLAY_EXAMPLES)]
pub struct PlayArgs {
    /// The file to play [default: the H.264 sample clip].
    pub file: Option<PathBuf>,
    /// Which decoder.
    #[command(flatten)]
    pub decoder: DecoderArgs,
    /// Decode as fast as possible and show nothing, even if there is a display.
    #[arg(long)]
    pub headless: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Save the last decoded frame there [default without a display: iotdec-frame.png].
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
}

const BENCH_HELP: &str = "\
Contenders, which all decode the same packets with the same library:
  native       built for this machine, without emulator: what emulation costs
  bare         emulated, with nothing around it: the most that can be reached
  iotdec       emulated, in GStreamer: filesrc ! iotdec ! fakesink sync=false
  pipes        emulated, raw frames through a pipe: fdsrc ! rawvideoparse ! fakesink
  turnflag     emulated, copied through shared memory, one side at a time
  plain        like bare, without the accelerator
  calls        like bare, with the accelerator's native calls only
  turbo        like bare, with the accelerator's second translator only
  turbo+calls  like bare, with both

docs/bench.md tells how each is measured, docs/accelerator.md what it is about,
docs/call-latency.md what --calls measures.

Examples:
  iotdec bench clip.264
  iotdec bench samples/*.26? --runs 9 --json=result.json
  iotdec bench clip.265 --check        exit status 1 if a target is missed
  iotdec bench clip.264 --accelerator  what the accelerator brings, and what it costs
  iotdec bench --calls                 how long calls of an aarch64 library take
  taskset -c 0 iotdec bench clip.264 --contenders iotdec    all on one core";

/// Arguments of `iotdec bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = BENCH_HELP)]
pub struct BenchArgs {
    /// The files to decode [default: the H.264 sample clip].
    pub files: Vec<PathBuf>,
    /// Which decoder.
    #[command(flatten)]
    pub decoder: DecoderArgs,
    /// How often each contender decodes each file.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// How long to play at the stream's own pace, to measure the processor time that takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    pub seconds: u32,
    /// Which contenders to measure [default: native,bare,iotdec,pipes,turnflag].
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub contenders: Vec<Contender>,
    /// Measure the accelerator: native,plain,calls,turbo,turbo+calls, and its ways in and out.
    #[arg(long)]
    pub accelerator: bool,
    /// Measure the latency of calls of an aarch64 library instead, for `--seconds` each round and
    /// way to call it.
    #[arg(long, conflicts_with_all = ["files", "decoder", "library", "accel", "contenders", "accelerator"])]
    pub calls: bool,
    /// Print tables for a page of documentation.
    #[arg(long)]
    pub markdown: bool,
    /// Write every measurement as JSON, to standard output or to a file.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub json: Option<PathBuf>,
    /// Exit with status 1 if a target is missed.
    #[arg(long)]
    pub check: bool,
}

const WRAP_HELP: &str = "\
Writes DIR/SONAME, which native programs link and load as they would the library itself,
DIR/iotdec-guest-SONAME, which runs in the emulator, DIR/NAME.pc and DIR/source.

With --direction guest-to-host: DIR/guest/SONAME, which an emulated program is to find
before its own library, DIR/host/iotdec-native-SONAME, which calls the host's library, and
DIR/source.

Functions that cannot be wrapped are listed with the reason, and with the line for
wrap.toml that would settle it. docs/library-bridge.md shows it with zlib, and
docs/native-libraries.md the other direction.

Examples:
  iotdec wrap vendor.h --library libvendor.so.1 -o wrapped
  iotdec wrap zlib.h --library sysroot/lib/aarch64-linux-gnu/libz.so.1 \\
      --config examples/library-bridge/zlib.toml -o wrapped --json
  iotdec wrap zlib.h --library sysroot/lib/aarch64-linux-gnu/libz.so.1 \\
      --config examples/library-bridge/zlib.toml --direction guest-to-host -o native";

/// Who calls, and who does it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Direction {
    /// Native programs call, the library for aarch64 does it.
    #[default]
    HostToGuest,
    /// Emulated programs call, the host's library does it.
    GuestToHost,
}

/// Arguments of `iotdec wrap`.
#[derive(Debug, clap::Args)]
#[command(after_help = WRAP_HELP)]
pub struct WrapArgs {
    /// The headers that declare the library's functions, in the order of their inclusion.
    #[arg(required = true, value_name = "HEADER")]
    pub headers: Vec<PathBuf>,
    /// The library for aarch64.
    #[arg(long, value_name = "FILE")]
    pub library: PathBuf,
    /// What the headers do not say.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where headers are that they include; those of one target in a directory of its name,
    /// as below /usr/include
    #[arg(short = 'I', long, value_name = "DIR")]
    pub include: Vec<PathBuf>,
    /// Who calls, and who does it.
    #[arg(long, value_enum, default_value_t)]
    pub direction: Direction,
    /// Where to write, made if need be.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Print what became of the functions as JSON.
    #[arg(long)]
    pub json: bool,
}

const CALL_HELP: &str = "\
Prints what the function returns, then the arrays that it has changed, then errno if it
is set.

Arguments are JSON, or more simply:
  numbers    42, -1, 0x2a, 1.5; 'c' for a letter's; names of an enumeration
  strings    as they are, without quotation marks
  pointers   NULL, or what they point to: [1,2,3], [0;64] for 64 zeros, 5 for one element
  structs    {\"x\":1,\"y\":2} or [1,2]

Examples:
  iotdec call libso_lib.so.1 'uint32_t so_lib_function_a(uint32_t c[2])' '[20,1]'
  iotdec call libz.so.1 'unsigned long crc32(unsigned long, const unsigned char *, unsigned)' \\
      0 hello 5
  iotdec call libz.so.1 crc32 --header zlib.h 0 hello 5 --json
  iotdec call libm.so.6 'double frexp(double, int *)' 48 0

Environment:
  IOTDEC_SYSROOT       the aarch64 system that the library runs in
  IOTDEC_ACCEL_MODE    how much of the accelerator to use, if --accel does not say
  IOTDEC_CALL_TIMEOUT  how many ms a call may take";

/// Arguments of `iotdec call`.
#[derive(Debug, clap::Args)]
#[command(after_help = CALL_HELP)]
pub struct CallArgs {
    /// The library: a file, or a name that is looked for in the sysroot.
    #[arg(value_name = "LIBRARY")]
    pub library: PathBuf,
    /// The function's prototype in C, or its name if a header declares it.
    #[arg(value_name = "PROTOTYPE")]
    pub function: String,
    /// One for each parameter.
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    pub arguments: Vec<String>,
    /// A header that declares the function, or types of the prototype.
    #[arg(long, value_name = "FILE")]
    pub header: Vec<PathBuf>,
    /// Where headers are that it includes.
    #[arg(short = 'I', long, value_name = "DIR")]
    pub include: Vec<PathBuf>,
    /// The aarch64 system that the library runs in.
    #[arg(long, value_name = "DIR")]
    pub sysroot: Option<PathBuf>,
    /// How much of the accelerator to use [default: as IOTDEC_ACCEL_MODE says, or as much as works].
    #[arg(long, value_name = "MODE")]
    pub accel: Option<Accel>,
    /// Print the result, all arrays that it may have changed and errno as JSON.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn play_needs_nothing() {
        let args = Args::try_parse_from(["iotdec", "play"]).unwrap();
        let Command::Play(play) = args.command else {
            panic!("not play: {args:?}");
        };
        assert!(play.file.is_none() && !play.headless && !play.json);
    }

    #[test]
    fn json_takes_a_path_only_behind_an_equals_sign() {
        let bench = |words: &[&str]| {
            let words = ["iotdec", "bench"].iter().chain(words);
            match Args::try_parse_from(words).unwrap().command {
                Command::Bench(bench) => (bench.files, bench.json),
                other => panic!("not bench: {other:?}"),
            }
        };
        let file = vec![PathBuf::from("a.264")];
        assert_eq!(
            bench(&["--json", "a.264"]),
            (file.clone(), Some("-".into()))
        );
        assert_eq!(bench(&["--json=x", "a.264"]), (file, Some("x".into())));
        assert_eq!(bench(&[]), (vec![], None));
        assert!(Args::try_parse_from(["iotdec", "bench", "--runs", "0"]).is_err());
    }
}
