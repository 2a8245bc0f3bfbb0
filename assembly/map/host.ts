// What map code asks of the host.

/** A value (guest offset) with special fields leaves its map: overwritten, deleted, or the map goes. */
export declare function valueGone(map: u32, value: u32): void;

/** An operation on a map that the host keeps; key and value are guest offsets. A guest offset, 0 or -errno. */
export declare function foreignMap(op: u32, map: u32, key: u32, value: u32, flags: u32): u32;
