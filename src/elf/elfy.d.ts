/** What elf.ts uses of elfy 1.0.0, an untyped CommonJS package. `#elfy` is dist/elfy.js (scripts/build-elfy.mjs). */
declare module '#elfy' {
  export interface ElfySection {
    /** 'progbits', 'symtab', …, or the raw number. */
    type: string | number;
    name: string;
    flags: Record<string, true | undefined>;
    addr: number;
    off: number;
    size: number;
    link: number;
    info: number;
    data: Uint8Array;
  }
  export interface ElfyFile {
    class: string;
    endian: string;
    shoff: number;
    shnum: number;
    shstrndx: number;
    body: { sections: ElfySection[] };
  }
  const elfy: { parse(bytes: Uint8Array): ElfyFile };
  export default elfy;
}
