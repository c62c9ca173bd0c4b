// What the parts of the stand-in share.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>

typedef unsigned long long u64;

// How often what was done.
extern std::map<std::string, u64> counts;

// Whether so many bytes from a place on lie in one piece of memory that was taken and not given back.
bool held(const void *p, size_t bytes = 1);

// Does what is queued, or records it where the stream does: 0, or what is wrong. Of the kinds that the driver has, 0 is a
// launch.
int queued(int kind, std::function<int()> what);

// A number with 8 significant bits, as a GPU rounds it.
struct Brief {
  uint16_t bits = 0;
  Brief() {}
  Brief(float x) {
    uint32_t word;
    std::memcpy(&word, &x, 4);
    bits = x != x ? 0x7fc0 : (word + 0x7fff + (word >> 16 & 1)) >> 16;
  }
  operator float() const {
    uint32_t word = (uint32_t)bits << 16;
    float x;
    std::memcpy(&x, &word, 4);
    return x;
  }
};
