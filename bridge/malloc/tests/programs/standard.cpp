// What C++ programs do with the heap: containers, over-aligned new, exceptions, threads.
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct alignas(256) Aligned {
    char bytes[300];
};

int main() {
    std::map<std::string, std::vector<int>> words;
    for (int i = 0; i < 20000; i++)
        words["word " + std::to_string(i * 7919 % 4001)].push_back(i);
    long sum = 0;
    for (auto &[word, numbers] : words)
        sum += std::accumulate(numbers.begin(), numbers.end(), long(word.size()));
    std::cout << words.size() << " " << sum << "\n";

    std::vector<std::unique_ptr<Aligned>> aligned;
    for (int i = 0; i < 100; i++)
        aligned.push_back(std::make_unique<Aligned>());
    std::cout << std::all_of(aligned.begin(), aligned.end(), [](auto &p) { return uintptr_t(p.get()) % 256 == 0; }) << "\n";

    std::vector<std::string> results(8);
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; t++)
        threads.emplace_back([t, &results] {
            std::ostringstream out;
            for (int i = 0; i < 2000; i++)
                try {
                    if (i % 3 == 0)
                        throw std::runtime_error("thrown " + std::to_string(i + t));
                    out << i;
                } catch (const std::exception &error) {
                    out << error.what();
                }
            results[t] = out.str();
        });
    for (auto &thread : threads)
        thread.join();
    for (auto &result : results)
        std::cout << std::hash<std::string>()(result) % 1000003 << "\n";
    try {
        std::vector<char> huge(std::size_t(1) << 46);
        std::cout << huge.size() << "\n";
    } catch (const std::bad_alloc &) {
        std::cout << "refused\n";
    }
}
