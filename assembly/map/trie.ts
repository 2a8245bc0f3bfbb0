// Look-ups in an LPM trie (kernel: kernel/bpf/lpm_trie.c, trie_lookup_elem). The host keeps its nodes, in the core heap: TRIE_* of
// abi.ts. A node stands for a prefix, its children continue it with a 0 or a 1; one without a value only forks.

import {
  MAP_KEY_SIZE,
  MAP_TRIE,
  TRIE_CHILDREN,
  TRIE_DATA,
  TRIE_PREFIXLEN,
  TRIE_PREFIXLEN_BYTES,
  TRIE_VALUE,
} from '../abi';

/** Bits that a node and a key have in common, at most `limit`. What lies behind a key's last byte may be looked at, and does not count. */
function common(node: u32, data: u32, limit: u32): u32 {
  for (let at: u32 = 0; at * 8 < limit; at += 8) {
    const difference = bswap<u64>(load<u64>(node + at, TRIE_DATA) ^ load<u64>(data + at));
    if (difference) return min(at * 8 + (clz(difference) as u32), limit);
  }
  return limit;
}

/** Guest offset of the value of the longest prefix of the key at a core address, or 0. */
export function trieLookup(map: u32, key: u32): u32 {
  const prefixlen = load<u32>(key);
  const max = (load<u32>(map, MAP_KEY_SIZE) - TRIE_PREFIXLEN_BYTES) * 8;
  if (prefixlen > max) return 0;
  const data = key + TRIE_PREFIXLEN_BYTES;
  let found: u32 = 0;
  let node = load<u32>(load<u32>(map, MAP_TRIE));
  while (node) {
    const own = load<u32>(node, TRIE_PREFIXLEN);
    const length = common(node, data, min(own, prefixlen));
    if (length == max) return load<u32>(node, TRIE_VALUE);
    if (length < own) break;
    const value = load<u32>(node, TRIE_VALUE);
    if (value) found = value;
    const bit = ((load<u8>(data + (own >> 3)) as u32) >> (7 - (own & 7))) & 1;
    node = load<u32>(node + bit * 4, TRIE_CHILDREN);
  }
  return found;
}
