export function fuse(slots: u32, count: u32): void {}
