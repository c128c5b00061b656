/* What liblzo2 exports without declaring it, as its own programs declare it. */
#include <lzo/lzo1x.h>
#include <lzo/lzo1y.h>

LZO_EXTERN(int)
lzo1x_999_compress_internal(const lzo_bytep in, lzo_uint in_len, lzo_bytep out, lzo_uintp out_len, lzo_voidp wrkmem,
                            const lzo_bytep dict, lzo_uint dict_len, lzo_callback_p cb, int try_lazy,
                            lzo_uint good_length, lzo_uint max_lazy, lzo_uint nice_length, lzo_uint max_chain,
                            lzo_uint32_t flags);
LZO_EXTERN(int)
lzo1y_999_compress_internal(const lzo_bytep in, lzo_uint in_len, lzo_bytep out, lzo_uintp out_len, lzo_voidp wrkmem,
                            const lzo_bytep dict, lzo_uint dict_len, lzo_callback_p cb, int try_lazy,
                            lzo_uint good_length, lzo_uint max_lazy, lzo_uint nice_length, lzo_uint max_chain,
                            lzo_uint32_t flags);
