// The library.
#include "memory.h"
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

// Of zlib, which the sysroot has without its header.
extern "C" {
unsigned long compressBound(unsigned long);
int compress(unsigned char *, unsigned long *, const unsigned char *, unsigned long);
int uncompress(unsigned char *, unsigned long *, const unsigned char *, unsigned long);
}

static uint64_t with_cplusplus(uint64_t rounds)
{
    std::vector<std::thread> threads;
    std::vector<uint64_t> sums(4);
    for (auto &sum : sums)
        threads.emplace_back([&sum, rounds] {
            std::map<std::string, std::vector<uint64_t>> map;
            for (uint64_t i = 0; i < rounds; i++)
                try {
                    map["a rather long key, of number " + std::to_string(i % 97)].push_back(i);
                    if (i % 10 == 0)
                        throw std::runtime_error("at " + std::to_string(i));
                } catch (const std::exception &error) {
                    sum += std::strlen(error.what());
                }
            for (auto &entry : map)
                for (auto value : entry.second)
                    sum += value;
        });
    for (auto &thread : threads)
        thread.join();
    return sums[0] + sums[1] + sums[2] + sums[3];
}

static uint64_t with_zlib(uint64_t size)
{
    std::vector<unsigned char> data(size), back(size);
    for (uint64_t i = 0; i < size; i++)
        data[i] = i * i >> 7;
    unsigned long packed_size = compressBound(size), back_size = size;
    std::vector<unsigned char> packed(packed_size);
    if (compress(packed.data(), &packed_size, data.data(), size) != 0
        || uncompress(back.data(), &back_size, packed.data(), packed_size) != 0 || data != back)
        return 0;
    return packed_size;
}

extern "C" void serve(enum what what, struct message *m)
{
    switch (what) {
    case MAKE_TEXT: {
        char *text = static_cast<char *>(malloc(m->a + 1));
        memset(text, 'x', m->a);
        text[m->a] = 0;
        m->result = reinterpret_cast<uint64_t>(text);
        break;
    }
    case MAKE_LIST: {
        node *list = nullptr;
        for (uint64_t i = 0; i < m->a; i++)
            list = new node{list, int64_t(i)};
        m->result = reinterpret_cast<uint64_t>(list);
        break;
    }
    case SUM_LIST:
        m->result = 0;
        for (auto at = reinterpret_cast<node *>(m->a); at; at = at->next)
            m->result += at->value;
        break;
    case FREE_LIST:
        for (auto at = reinterpret_cast<node *>(m->a); at;) {
            auto next = at->next;
            free(at);
            at = next;
        }
        break;
    case FREE: free(reinterpret_cast<void *>(m->a)); break;
    case RESIZE: m->result = reinterpret_cast<uint64_t>(realloc(reinterpret_cast<void *>(m->a), m->b)); break;
    case USABLE_SIZE: m->result = malloc_usable_size(reinterpret_cast<void *>(m->a)); break;
    case WITH_CPLUSPLUS: m->result = with_cplusplus(m->a); break;
    case WITH_ZLIB: m->result = with_zlib(m->a); break;
    case SPAWN: m->result = system("true"); break;
    case LARGE:
        m->result = 0;
        for (uint64_t i = 0; i < m->a; i++) {
            size_t size = 100 << 20;
            char *zeroed = static_cast<char *>(calloc(1, size));
            for (size_t at = 0; at < size; at += 4096)
                m->result |= zeroed[at];
            memset(zeroed, 1, size);
            free(zeroed);
        }
        break;
    default: abort();
    }
}
