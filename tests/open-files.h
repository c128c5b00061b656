/* How many files a process has open; what matters is whether that changes. */
#ifndef OPEN_FILES_H
#define OPEN_FILES_H

#include <dirent.h>

static int open_files(void)
{
    int files = 0;
    DIR *all = opendir("/proc/self/fd");
    while (all && readdir(all))
        files++;
    if (all)
        closedir(all);
    return files;
}

#endif
