// What the parts of the stand-in share.
#pragma once
#include <cstddef>
#include <map>
#include <string>

typedef unsigned long long u64;

// How often what was done.
extern std::map<std::string, u64> counts;

// Whether so many bytes from a place on lie in one piece of memory that was taken and not given back.
bool held(const void *p, size_t bytes = 1);
