/* Two libraries that are alike but for what they are called. */
const char *first_name(void);
void first_crash(void);
const char *other_name(void);
