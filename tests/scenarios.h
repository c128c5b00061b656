/* Programs that have several things to do, of which the first word names one. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include <stddef.h>
#include <string.h>

struct scenario {
    const char *name;
    void (*run)(void);
};

/* Runs the one that is asked for; 0, or 2 if there is none of this name. The last of them has no name. */
static int run_scenario(const struct scenario *scenario, int argc, char **argv)
{
    for (; argc == 2 && scenario->name; scenario++)
        if (!strcmp(argv[1], scenario->name)) {
            scenario->run();
            return 0;
        }
    return 2;
}

#endif
