// What every kernel starts from. kernel() is the entry, first in .text; mem is 16384 bytes that bench fills before each
// series of runs.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

u64 kernel(u8 *mem, u64 len);
