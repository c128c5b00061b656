/* Encodes pictures with OpenH264, and decodes them, through its tables of functions as C has them. */
#include <wels/codec_api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 320
#define HEIGHT 192

#define CHECK(is) \
    do { \
        if (!(is)) { \
            printf("line %d\n", __LINE__); \
            exit(1); \
        } \
    } while (0)

/* A ball over a slope. */
static void draw(unsigned char *to, int number)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            int dx = x - 30 - 20 * number, dy = y - 96;
            to[y * WIDTH + x] = (unsigned char) (dx * dx + dy * dy < 900 ? 220 - dy : 16 + (x + y) / 4);
        }
    memset(to + WIDTH * HEIGHT, 100 + number, WIDTH * HEIGHT / 4);
    memset(to + WIDTH * HEIGHT * 5 / 4, 160 - number, WIDTH * HEIGHT / 4);
}

static uint32_t sum(uint32_t sum, const unsigned char *from, int stride, int width, int height)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            sum = (sum ^ from[y * stride + x]) * 16777619;
    return sum;
}

/* The mean square of what a decoded picture is off. */
static int off(const unsigned char *drawn, const unsigned char *decoded, int stride)
{
    long squares = 0;

    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            int difference = drawn[y * WIDTH + x] - decoded[y * stride + x];
            squares += difference * difference;
        }
    return (int) (squares / (WIDTH * HEIGHT));
}

int main(int argc, char **argv)
{
    int count = argc == 2 ? atoi(argv[1]) : 0, decoded = 0, level = WELS_LOG_QUIET, number = -1;
    static unsigned char drawn[WIDTH * HEIGHT * 3 / 2];
    unsigned char *planes[3] = {0};
    ISVCEncoder *encoder = NULL;
    ISVCDecoder *decoder = NULL;
    SEncParamExt how;
    SFrameBSInfo encoded;
    SSourcePicture picture = {0};
    SDecodingParam what = {0};
    SBufferInfo buffer;

    CHECK(WelsCreateSVCEncoder(&encoder) == 0 && encoder);
    CHECK((*encoder)->SetOption(encoder, ENCODER_OPTION_TRACE_LEVEL, &level) == 0);
    CHECK((*encoder)->GetDefaultParams(encoder, &how) == 0);
    how.iPicWidth = how.sSpatialLayers[0].iVideoWidth = WIDTH;
    how.iPicHeight = how.sSpatialLayers[0].iVideoHeight = HEIGHT;
    how.iTargetBitrate = how.sSpatialLayers[0].iSpatialBitrate = 1000000;
    how.fMaxFrameRate = how.sSpatialLayers[0].fFrameRate = 25;
    how.iRCMode = RC_OFF_MODE;
    how.sSpatialLayers[0].iDLayerQp = 24;
    how.iMultipleThreadIdc = 1;
    CHECK((*encoder)->InitializeExt(encoder, &how) == 0);

    CHECK(WelsCreateDecoder(&decoder) == 0 && decoder);
    what.sVideoProperty.eVideoBsType = VIDEO_BITSTREAM_AVC;
    CHECK((*decoder)->Initialize(decoder, &what) == 0);

    picture.iColorFormat = videoFormatI420;
    picture.iPicWidth = WIDTH;
    picture.iPicHeight = HEIGHT;
    picture.iStride[0] = WIDTH;
    picture.iStride[1] = picture.iStride[2] = WIDTH / 2;
    picture.pData[0] = drawn;
    picture.pData[1] = drawn + WIDTH * HEIGHT;
    picture.pData[2] = drawn + WIDTH * HEIGHT * 5 / 4;
    for (int frame = 0; frame < count; frame++) {
        uint32_t of_stream = 2166136261, of_picture = 2166136261;
        int size = 0;

        draw(drawn, frame);
        picture.uiTimeStamp = frame * 40;
        if (frame == 5)
            CHECK((*encoder)->ForceIntraFrame(encoder, 1) == 0);
        memset(&encoded, 0, sizeof encoded);
        CHECK((*encoder)->EncodeFrame(encoder, &picture, &encoded) == cmResultSuccess);
        for (int layer = 0; layer < encoded.iLayerNum; layer++) {
            SLayerBSInfo *bytes = &encoded.sLayerInfo[layer];
            int length = 0;

            for (int unit = 0; unit < bytes->iNalCount; unit++)
                length += bytes->pNalLengthInByte[unit];
            of_stream = sum(of_stream, bytes->pBsBuf, length, length, 1);
            memset(&buffer, 0, sizeof buffer);
            CHECK((*decoder)->DecodeFrameNoDelay(decoder, bytes->pBsBuf, length, planes, &buffer) == dsErrorFree);
            size += length;
        }
        CHECK(size == encoded.iFrameSizeInBytes);
        if (buffer.iBufferStatus == 1) {
            SSysMEMBuffer *in = &buffer.UsrData.sSystemBuffer;

            CHECK(in->iWidth == WIDTH && in->iHeight == HEIGHT && in->iFormat == videoFormatI420);
            for (int plane = 0; plane < 3; plane++)
                of_picture = sum(of_picture, planes[plane], in->iStride[plane > 0], WIDTH >> (plane > 0),
                                 HEIGHT >> (plane > 0));
            CHECK(off(drawn, planes[0], in->iStride[0]) < 10);
            decoded++;
        }
        printf("%d: %d %d %08x %08x\n", frame, encoded.eFrameType, size, of_stream, of_picture);
    }
    CHECK((*decoder)->GetOption(decoder, DECODER_OPTION_IDR_PIC_ID, &number) == 0);
    printf("%d decoded, %d\n", decoded, number);
    CHECK((*encoder)->Uninitialize(encoder) == 0);
    WelsDestroySVCEncoder(encoder);
    CHECK((*decoder)->Uninitialize(decoder) == 0);
    WelsDestroyDecoder(decoder);
    return 0;
}
