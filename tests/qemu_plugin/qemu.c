// As much of QEMU as a plugin sees, of any version of its plugin interface: qemu PLUGIN TARGET WORD... CALL
//
// Loads the plugin, translates one block of the words given, and executes each: one that the plugin wants to know the
// stores of stores to CALL, which is given in hexadecimal. Prints the words' indices that the plugin asked for, and
// what has become of CALL.
//
// Declared from QEMU's documentation of the interface. -DINTERFACE=N makes it that of version N; -DGUEST_BASE=N puts
// the guest's memory N bytes lower than the host's.

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef GUEST_BASE
#define GUEST_BASE 0
#endif
#define MOST 64

struct info {
    const char *target_name;
    struct { int min, cur; } version;
    bool system_emulation;
};

struct instruction {
    uint32_t word;
    void (*on_store)(unsigned, uint32_t, uint64_t, void *);
    void (*on_execution)(unsigned, void *);
};

struct block {
    size_t length;
    struct instruction instructions[MOST];
};

static struct block block;
static void (*on_block)(uint64_t, struct block *);
static void (*on_syscall)(void);
static _Alignas(64) unsigned char call[64];

static void die(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(2);
}

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*callback)(uint64_t, struct block *)) {
    if (id != 7) die("not the plugin's id");
    on_block = callback;
}

#ifndef NO_SYSCALLS
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id, void (*callback)(void)) {
    if (id != 7) die("not the plugin's id");
    on_syscall = callback;
}
#endif

void qemu_plugin_register_vcpu_syscall_ret_cb(uint64_t id, void (*callback)(void)) {
    if (id != 7) die("not the plugin's id");
    on_syscall = callback;
}

void qemu_plugin_register_vcpu_mem_cb(struct instruction *instruction, void (*callback)(unsigned, uint32_t, uint64_t, void *),
                                      int flags, int accesses, void *data) {
    if (flags != 0 || accesses != 2 || data) die("not for stores alone");
    instruction->on_store = callback;
}

void qemu_plugin_register_vcpu_insn_exec_cb(struct instruction *instruction, void (*callback)(unsigned, void *), int flags,
                                            void *data) {
    if (flags != 0 || data) die("not for execution alone");
    instruction->on_execution = callback;
}

size_t qemu_plugin_tb_n_insns(const struct block *block) { return block->length; }

struct instruction *qemu_plugin_tb_get_insn(const struct block *block, size_t index) {
    return (struct instruction *)&block->instructions[index];
}

uint64_t qemu_plugin_insn_vaddr(const struct instruction *instruction) { return (uint64_t)&instruction->word - GUEST_BASE; }

void *qemu_plugin_insn_haddr(const struct instruction *instruction) { return (void *)&instruction->word; }

#if INTERFACE >= 2
void *qemu_plugin_scoreboard_new(size_t size) { return size ? NULL : NULL; }
#endif

#if INTERFACE >= 3
size_t qemu_plugin_insn_data(const struct instruction *instruction, void *to, size_t length) {
    if (length > sizeof instruction->word) length = sizeof instruction->word;
    memcpy(to, &instruction->word, length);
    return length;
}
#else
const void *qemu_plugin_insn_data(const struct instruction *instruction) { return &instruction->word; }
#endif

int main(int count, char **words) {
    if (count < 4 || count - 4 > MOST) die("qemu PLUGIN TARGET WORD... CALL");
    void *plugin = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
    if (!plugin) die(dlerror());
    const int *wanted = dlsym(plugin, "qemu_plugin_version");
    int (*install)(uint64_t, const struct info *, int, char **) = dlsym(plugin, "qemu_plugin_install");
    if (!wanted || !install) die("no plugin");

    const struct info info = {words[2], {INTERFACE >= 2 ? 2 : 0, INTERFACE}, false};
    if (*wanted < info.version.min || *wanted > info.version.cur) die("a version that this QEMU does not have");
    if (install(7, &info, 0, NULL) != 0) die("the plugin failed");
    if (!on_block) return 0;
    if (!on_syscall) die("asks for blocks and not for system calls");

    block.length = count - 4;
    for (size_t i = 0; i < block.length; i++) block.instructions[i].word = strtoul(words[3 + i], NULL, 16);
    for (size_t i = 0; i < sizeof call; i++) {
        unsigned byte = 0;
        sscanf(words[count - 1] + 2 * i, "%2x", &byte);
        call[i] = byte;
    }
    on_block(7, &block);
    for (size_t i = 0; i < block.length; i++) {
        struct instruction *instruction = &block.instructions[i];
        if (instruction->on_store) {
            printf("store %zu\n", i);
            instruction->on_store(0, 0, (uint64_t)call - GUEST_BASE, NULL);
        }
        if (instruction->on_execution) {
            printf("execution %zu\n", i);
            instruction->on_execution(0, NULL);
        }
    }
    for (size_t i = 0; i < sizeof call; i++) printf("%02x", call[i]);
    printf("\n");
    return 0;
}
