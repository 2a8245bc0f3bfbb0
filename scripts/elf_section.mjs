/** Contents of one section of a 64-bit little-endian ELF file. */
export function elfSection(elf, wanted) {
  const header = (index) => Number(elf.readBigUInt64LE(40)) + index * elf.readUInt16LE(58);
  const extent = (at) => [Number(elf.readBigUInt64LE(at + 24)), Number(elf.readBigUInt64LE(at + 32))];
  const [names] = extent(header(elf.readUInt16LE(62)));
  for (let i = 0; i < elf.readUInt16LE(60); i++) {
    const at = header(i);
    const name = names + elf.readUInt32LE(at);
    if (elf.toString('latin1', name, elf.indexOf(0, name)) !== wanted) continue;
    const [offset, size] = extent(at);
    return elf.subarray(offset, offset + size);
  }
  throw new Error(`no section ${wanted} in the kernel image`);
}
