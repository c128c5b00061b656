// C++ exceptions inside a library.
#include "check.h"
#include <cstdint>
#include <ctime>
#include <pthread.h>
#include <unistd.h>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

int destroyed;

struct Guard {
    ~Guard() { __atomic_fetch_add(&destroyed, 1, __ATOMIC_SEQ_CST); }
};

__attribute__((noinline)) int dive(int depth) {
    Guard guard;
    if (depth == 0)
        throw std::runtime_error("bottom");
    return dive(depth - 1) + 1;
}

__attribute__((noinline)) int rethrow(int depth) {
    try {
        return depth == 0 ? dive(3) : rethrow(depth - 1);
    } catch (const std::runtime_error& error) {
        if (depth % 2)
            throw;
        throw std::runtime_error(std::string(error.what()) + "+");
    }
}

int many(int count) {
    int caught = 0;
    for (int i = 0; i < count; i++) {
        try {
            dive(i % 50);
        } catch (const std::exception&) {
            caught++;
        }
    }
    return caught;
}

int throwing(const void* a, const void* b) {
    if (*static_cast<const int*>(a) == *static_cast<const int*>(b))
        throw 5;
    return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

}  // namespace

extern "C" int thrown() {
    destroyed = 0;
    CHECK(many(500) == 500);
    // Sums of i % 50 + 1.
    CHECK(destroyed == 10 * 50 * 51 / 2);
    return 0;
}

extern "C" int rethrown() {
    for (int depth = 0; depth < 20; depth++) {
        try {
            rethrow(depth);
            CHECK(false);
        } catch (const std::runtime_error& error) {
            CHECK(std::string(error.what()) == "bottom" + std::string(static_cast<size_t>(depth / 2 + 1), '+'));
        }
    }
    try {
        std::vector<int>().at(3);
        CHECK(false);
    } catch (const std::out_of_range& error) {
        dprintf(1, "%s\n", error.what());
    }
    return 0;
}

extern "C" int in_threads() {
    int caught[4] = {};
    std::vector<std::thread> threads;
    for (int& result : caught)
        threads.emplace_back([&result] { result = many(200); });
    for (auto& thread : threads)
        thread.join();
    for (int result : caught)
        CHECK(result == 200);
    return 0;
}

extern "C" int through_callbacks() {
    int numbers[] = {3, 1, 2, 3, 4};
    try {
        qsort(numbers, 5, sizeof(int), throwing);
        CHECK(false);
    } catch (int value) {
        CHECK(value == 5);
    }
    return 0;
}

extern "C" int through_the_caller() {
    throw std::runtime_error("nobody catches this");
}

// A thread that is cancelled unwinds like an exception: from where the signal found it.
extern "C" int cancelled_threads() {
    for (int how = 0; how < 2; how++) {
        for (int i = 0; i < 5; i++) {
            destroyed = 0;
            static volatile bool running;
            running = false;
            pthread_t thread;
            auto function = [](void* how) -> void* {
                Guard guard;
                struct timespec nap = {100, 0};
                if (how != nullptr) {
                    Guard inner;
                    running = true;
                    nanosleep(&nap, nullptr);
                } else {
                    running = true;
                    for (;;)
                        pthread_testcancel();
                }
                return nullptr;
            };
            CHECK(pthread_create(&thread, nullptr, function, reinterpret_cast<void*>(static_cast<intptr_t>(how))) == 0);
            while (!running)
                usleep(1000);
            usleep(static_cast<useconds_t>(i) * 5000);
            void* result;
            CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
            CHECK(result == PTHREAD_CANCELED);
            CHECK(destroyed == 1 + how);
        }
    }
    return 0;
}
