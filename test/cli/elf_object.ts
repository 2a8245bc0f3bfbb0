import { assemble } from '../../src/asm/index.js';

/**
 * A minimal BPF ELF object, as the suite's runner writes one: sections of code from assembly, and a global function
 * symbol at the start of a section each.
 */
export function elfObject(code: Record<string, string>, symbols: Record<string, string>): Uint8Array {
  const names = ['', ...Object.keys(code), '.symtab', '.strtab'];
  const strings = new Strings([...names, ...Object.keys(symbols)]);
  const order = Object.keys(code);
  const symtab = new Uint8Array(24 * (1 + Object.keys(symbols).length));
  const view = new DataView(symtab.buffer);
  Object.entries(symbols).forEach(([name, section], i) => {
    const at = 24 * (i + 1);
    view.setUint32(at, strings.at(name), true);
    view.setUint8(at + 4, 0x12); // STB_GLOBAL, STT_FUNC
    view.setUint16(at + 6, order.indexOf(section) + 1, true);
    view.setBigUint64(at + 16, BigInt(assemble(code[section] ?? '').length), true);
  });
  const sections = [
    { name: '', type: 0, flags: 0, data: new Uint8Array(0), link: 0, info: 0, entry: 0 },
    ...order.map((name) => ({ name, type: 1, flags: 6, data: assemble(code[name] ?? ''), link: 0, info: 0, entry: 0 })),
    { name: '.symtab', type: 2, flags: 0, data: symtab, link: order.length + 2, info: 1, entry: 24 },
    { name: '.strtab', type: 3, flags: 0, data: strings.bytes, link: 0, info: 0, entry: 0 },
  ];
  const start = 64;
  const dataBytes = sections.reduce((sum, { data }) => sum + Math.ceil(data.length / 8) * 8, 0);
  const out = new Uint8Array(start + dataBytes + 64 * sections.length);
  const file = new DataView(out.buffer);
  out.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.setUint16(16, 1, true); // ET_REL
  file.setUint16(18, 247, true); // EM_BPF
  file.setUint32(20, 1, true);
  file.setBigUint64(40, BigInt(start + dataBytes), true);
  file.setUint16(52, 64, true);
  file.setUint16(58, 64, true);
  file.setUint16(60, sections.length, true);
  file.setUint16(62, sections.length - 1, true);
  let at = start;
  sections.forEach(({ name, type, flags, data, link, info, entry }, i) => {
    out.set(data, at);
    const header = start + dataBytes + 64 * i;
    file.setUint32(header, strings.at(name), true);
    file.setUint32(header + 4, type, true);
    file.setBigUint64(header + 8, BigInt(flags), true);
    file.setBigUint64(header + 24, BigInt(at), true);
    file.setBigUint64(header + 32, BigInt(data.length), true);
    file.setUint32(header + 40, link, true);
    file.setUint32(header + 44, info, true);
    file.setBigUint64(header + 48, 8n, true);
    file.setBigUint64(header + 56, BigInt(entry), true);
    at += Math.ceil(data.length / 8) * 8;
  });
  return out;
}

class Strings {
  readonly bytes: Uint8Array;
  private readonly offsets = new Map<string, number>();

  constructor(names: readonly string[]) {
    let text = '';
    for (const name of names) {
      if (this.offsets.has(name)) continue;
      this.offsets.set(name, text.length);
      text += `${name}\0`;
    }
    this.bytes = new TextEncoder().encode(text);
  }

  at(name: string): number {
    return this.offsets.get(name) ?? 0;
  }
}
