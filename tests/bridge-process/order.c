#include "order.h"

#ifdef FIRST
const char *first_name(void) { return "the first"; }
void first_crash(void) { __builtin_trap(); }
#else
const char *other_name(void) { return "the other"; }
#endif
