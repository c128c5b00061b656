// What reloaded() of code.c loads.
int which(void) { return 2; }
