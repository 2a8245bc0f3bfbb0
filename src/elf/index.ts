export { findObjects } from './embedded.js';
export { ElfFile, type ElfRelocation, type ElfSection, type ElfSymbol } from './elf.js';
