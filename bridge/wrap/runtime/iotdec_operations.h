/*
 * iotdec_operations.h: what is done with FILEs across. Part of both parts of all generated wrapper libraries.
 */
enum { IOTDEC_READ, IOTDEC_WRITE, IOTDEC_SEEK, IOTDEC_CLOSE };
