export { ElfFile, type ElfRelocation, type ElfSection, type ElfSymbol } from './elf.js';
export { findObjects } from './embedded.js';
