// Cases → the line script that the guest's runner reads (README.md, "The script"), and its answers → recorded steps.
import { OBJECTS } from './objects.mjs';
import { ATTR_SIZE, COMMANDS, ERRNO, INFO, INFO_SIZE, KIND_OF_RESULT, MAP_IDS, STATES } from './uapi.mjs';

const SETTLE_MS = 500;
const LOG_SIZE = 1 << 16;
/** Lines of a backtrace in the kernel log: addresses of one build. */
const BACKTRACE = /^\s+\S+\+0x[0-9a-f]+\/0x[0-9a-f]+$/;

const hexOf = (bytes) => Buffer.from(bytes).toString('hex');
const textHex = (text) => hexOf(Buffer.from(`${text}\0`, 'latin1'));

/** Every object that a step refers to, in any depth. */
function references(node, found = new Set()) {
  if (typeof node === 'string') {
    if (node.startsWith('$')) found.add(node);
  } else if (node !== null && typeof node === 'object') {
    for (const inner of Object.values(node)) references(inner, found);
  }
  return found;
}

/** Shared objects a case needs, in the order of OBJECTS, with what they need themselves. */
export function givenOf(steps) {
  const wanted = new Set();
  const visit = (list) => {
    const made = new Set();
    for (const { as, ...step } of list) {
      for (const name of references(step)) {
        if (wanted.has(name) || made.has(name)) continue;
        if (OBJECTS[name] === undefined) throw new Error(`${name} is made nowhere`);
        wanted.add(name);
        visit([OBJECTS[name]]);
      }
      if (as !== undefined) made.add(as);
    }
  };
  visit(steps);
  return Object.keys(OBJECTS).filter((name) => wanted.has(name));
}

/** A number, or a word that the runner resolves against objects and the kernel's BTF. */
function number(node) {
  if (typeof node === 'number' || typeof node === 'string') return String(node);
  if (node.u64 !== undefined) return node.u64;
  if (node.id !== undefined) return `#${node.id.slice(1)}`;
  const plus = node.plus ? `+${node.plus}` : '';
  if (node.at !== undefined) return `off:bpf_struct_ops_${node.at.split('.')[0]}.data+off:${node.at}${plus}`;
  if (node.end !== undefined) return `${number({ at: node.end })}+width:${node.end}${plus}`;
  if (node.offset !== undefined) return `off:${node.offset}${plus}`;
  for (const what of ['struct', 'func', 'bytes', 'vlen', 'index']) {
    if (node[what] !== undefined) return `${what}:${node[what]}${plus}`;
  }
  throw new Error(`not a number: ${JSON.stringify(node)}`);
}

class Script {
  lines = [];
  buffers = 0;

  add(...words) {
    this.lines.push(words.join(' '));
  }
  /** A zeroed buffer; its name. */
  buffer(size, name = `b${this.buffers++}`) {
    this.add('buf', name, size);
    return name;
  }
  bytes(hex) {
    const name = this.buffer(hex.length / 2);
    if (hex.length > 0) this.add('hex', name, 0, hex);
    return name;
  }
  insns(list) {
    const name = this.buffer(list.length * 8);
    for (const [slot, [code, dst, src, off, imm]] of list.entries()) {
      this.add('put', name, slot * 8, 1, code);
      this.add('put', name, slot * 8 + 1, 1, dst | (src << 4));
      this.add('put', name, slot * 8 + 2, 2, off);
      this.add('put', name, slot * 8 + 4, 4, number(imm));
    }
    return name;
  }
  /** A struct_ops value as user space hands it over. */
  value({ value: type, set, common = {}, patch = [] }) {
    const name = this.buffer(`bytes:bpf_struct_ops_${type}`);
    for (const [field, content] of Object.entries(common)) {
      this.add('put', name, `off:bpf_struct_ops_common_value.${field}`, 4, number(content));
    }
    for (const [member, content] of Object.entries(set)) {
      const place = number({ at: `${type}.${member}` });
      if (typeof content !== 'string' || content.startsWith('$')) {
        this.add('put', name, place, `width:${type}.${member}`, number(content));
      } else if (/^0x/.test(content)) throw new Error(`${member}: ${content} is text; u64() makes it a number`);
      else if (content !== '') this.add('hex', name, place, hexOf(Buffer.from(content, 'latin1')));
    }
    for (const [place, byte] of patch) this.add('put', name, number(place), 1, byte);
    return name;
  }
  content(node) {
    if (node.value !== undefined) return this.value(node);
    if (node.hex !== undefined) return this.bytes(node.hex);
    const name = this.buffer(node.u32.length * 4);
    for (const [i, word] of node.u32.entries()) this.add('put', name, i * 4, 4, number(word));
    return name;
  }
  attribute(buffer, [offset, kind], content) {
    const point = (to) => this.add('put', buffer, offset, 8, `&${to}`);
    if (content === null) this.add('put', buffer, offset, 8, 0);
    else if (kind === 'text') point(this.bytes(textHex(content)));
    else if (kind === 'insns') point(this.insns(content));
    else if (kind === 'buffer') point(this.content(content));
    else if (kind === 'name') {
      if (content.length > 16) throw new Error(`a name of more than 16 bytes: ${content}`);
      if (content !== '') this.add('hex', buffer, offset, hexOf(Buffer.from(content, 'latin1')));
    } else this.add('put', buffer, offset, kind, number(content));
  }
}

/** What a struct_ops map's value is made of; undefined for other maps. */
function valueType(step) {
  return step?.attr?.btf_vmlinux_value_type_id?.struct;
}

/** One case on its way through the runner: the script of its steps, then the reading of their answers. */
export class Case {
  constructor({ id, what, steps }) {
    Object.assign(this, { id, what, steps, given: givenOf(steps) });
    this.all = [...this.given.map((name) => OBJECTS[name]), ...steps];
    this.maker = new Map();
    for (const step of this.all) if (step.as !== undefined && !this.maker.has(step.as)) this.maker.set(step.as, step);
  }

  /** The step that created what a name stands for; a dup or an fd taken by id leads back to it. */
  origin(object) {
    const step = this.maker.get(object);
    const other = step?.do === 'dup' ? step.fd : (step?.attr?.map_id ?? step?.attr?.prog_id ?? step?.attr?.link_id)?.id;
    return other === undefined || other === object ? step : this.origin(other);
  }

  kindOf(object) {
    return KIND_OF_RESULT[this.origin(object)?.cmd];
  }

  script() {
    const script = new Script();
    script.add('case', this.id);
    for (const step of this.all) {
      // A settle's length is no part of a case: it is as long as it takes.
      script.add('step');
      if (step.cmd !== undefined) this.command(script, step);
      else this.action(script, step);
      if (step.as !== undefined) script.add('bind', step.as, (KIND_OF_RESULT[step.cmd] ?? '-')[0]);
      else if (KIND_OF_RESULT[step.cmd] !== undefined) script.add('drop');
      for (const shown of step.cmd !== undefined ? this.shown(step) : []) script.add('show', shown);
      if (step.attr?.log_level) script.add('text', 'log_buf');
      script.add('end');
    }
    return script.lines;
  }

  command(script, { cmd, attr, patch = [], size = ATTR_SIZE }) {
    if (COMMANDS[cmd] === undefined) throw new Error(`${this.id}: no command ${cmd}`);
    const [command, layout] = COMMANDS[cmd];
    const buffer = script.buffer(Math.max(size, ATTR_SIZE), 'attr');
    for (const [name, content] of Object.entries({ ...this.implied(script, cmd, attr), ...attr })) {
      if (content?.buffer !== undefined) script.add('put', buffer, layout[name][0], 8, `&${content.buffer}`);
      else if (layout[name] === undefined) throw new Error(`${this.id}: ${cmd} has no attribute ${name}`);
      else script.attribute(buffer, layout[name], content);
    }
    for (const [place, byte] of patch) script.add('put', buffer, place, 1, byte);
    script.add('bpf', command, size, buffer);
  }

  /** Lengths, and buffers for answers, that a case leaves out. */
  implied(script, cmd, attr) {
    const out = (size, name) => ({ buffer: script.buffer(size, name) });
    if (cmd === 'PROG_LOAD') {
      const lengths = { insn_cnt: attr.insns.length };
      return attr.log_level ? { ...lengths, log_size: LOG_SIZE, log_buf: out(LOG_SIZE, 'log_buf') } : lengths;
    }
    if (cmd === 'BTF_LOAD') return { btf_size: attr.btf.hex.length / 2 };
    if (cmd === 'MAP_GET_NEXT_KEY') return { next_key: out(4, 'next_key') };
    if (cmd === 'OBJ_GET_INFO_BY_FD') {
      const info = out(INFO_SIZE, 'info');
      if (this.kindOf(attr.bpf_fd) === 'prog') {
        script.add('put', 'info', MAP_IDS.address, 8, `&${script.buffer(MAP_IDS.room * 4, 'map_ids')}`);
        script.add('put', 'info', MAP_IDS.count, 4, MAP_IDS.room);
      }
      return { info_len: INFO_SIZE, info };
    }
    if (cmd === 'MAP_LOOKUP_ELEM' || cmd === 'MAP_LOOKUP_AND_DELETE_ELEM') {
      const type = valueType(this.origin(attr.map_fd));
      return { value: out(type === undefined ? 4096 : `bytes:${type}`, 'value') };
    }
    return {};
  }

  /** Buffers whose bytes belong to the answer of a call that succeeds. */
  shown({ cmd, attr }) {
    if (cmd === 'MAP_LOOKUP_ELEM')
      return valueType(this.origin(attr.map_fd)) && attr.value === undefined ? ['value'] : [];
    if (cmd === 'MAP_GET_NEXT_KEY') return ['next_key'];
    if (cmd === 'PROG_TEST_RUN') return ['attr'];
    if (cmd === 'OBJ_GET_INFO_BY_FD' && attr.info === undefined) {
      return this.kindOf(attr.bpf_fd) === 'prog' ? ['attr', 'info', 'map_ids'] : ['attr', 'info'];
    }
    return [];
  }

  action(script, step) {
    if (step.do === 'settle') return script.add('settle', SETTLE_MS);
    const { do: verb, as, ...words } = step;
    script.add(verb, ...Object.values(words).map(number));
  }

  /** `answers`: what the runner printed for this case, one object a step. Steps with their answers, or why there are none. */
  record(answers, layouts) {
    const last = answers.at(-1);
    if (last?.skip !== undefined) return { skip: last.skip };
    if (answers.length !== this.all.length) {
      throw new Error(`${this.id}: ${answers.length} answers to ${this.all.length} steps: ${JSON.stringify(last)}`);
    }
    const ids = { map: new Map(), prog: new Map(), link: new Map(), btf: new Map() };
    for (const [i, step] of this.all.entries()) {
      const named = answers[i].id === undefined ? undefined : ids[this.kindOf(step.as)];
      // An object keeps its first name when a later fd of it gets another.
      if (named !== undefined && !named.has(answers[i].id)) named.set(answers[i].id, step.as);
    }
    const made = answers.slice(0, this.given.length).findIndex((answer) => answer.ret < 0);
    if (made >= 0) {
      throw new Error(`${this.id}: ${this.given[made]} cannot be made: ${JSON.stringify(answers[made])}`);
    }
    const context = { layouts, ids, nameOf: (kind, id) => (id === 0 ? 0 : (ids[kind].get(id) ?? '?')) };
    const recorded = this.steps.map((step, i) => ({
      ...step,
      ...this.answer(step, answers[this.given.length + i], context),
    }));
    return { steps: recorded };
  }

  answer(step, raw, context) {
    const out = {};
    if (raw.ret < 0) {
      out.ret = raw.ret;
      out.errno = ERRNO[-raw.ret] ?? String(-raw.ret);
    } else out.ret = step.as ?? (KIND_OF_RESULT[step.cmd] === undefined && step.do !== 'open' ? raw.ret : 0);
    if (raw.value !== undefined) {
      out.value = readValue(valueType(this.origin(step.attr.map_fd)), bytesFrom(raw.value), context);
    }
    if (raw.next_key !== undefined) out.next_key = bytesFrom(raw.next_key).readUInt32LE(0);
    if (step.cmd === 'PROG_TEST_RUN' && raw.attr !== undefined) out.retval = bytesFrom(raw.attr).readInt32LE(4);
    if (raw.info !== undefined) {
      out.info_len = bytesFrom(raw.attr).readUInt32LE(4);
      out.info = readInfo(this.kindOf(step.attr.bpf_fd), raw, context);
    }
    if (raw.log_buf !== undefined) out.log_buf = raw.log_buf;
    if (raw.revents !== undefined) out.revents = raw.revents;
    if (raw.content !== undefined) {
      out.content = step.do === 'fdinfo' ? readFdinfo(raw.content, context) : raw.content.trimEnd();
    }
    const said = (raw.dmesg ?? []).filter((line) => !BACKTRACE.test(line));
    if (said.length > 0) out.dmesg = said.map((line) => withProgramNames(line, context));
    return out;
  }
}

const bytesFrom = (hex) => Buffer.from(hex, 'hex');

function unsigned(bytes, offset, width) {
  if (width === 8) {
    const wide = bytes.readBigUInt64LE(offset);
    return wide > Number.MAX_SAFE_INTEGER ? `0x${wide.toString(16)}` : Number(wide);
  }
  return bytes.readUIntLE(offset, width);
}

function text(bytes) {
  const zero = bytes.indexOf(0);
  return bytes.toString('latin1', 0, zero < 0 ? bytes.length : zero);
}

/** A value read back: refcnt, state, and the members that are not zero. */
function readValue(type, bytes, { layouts, nameOf }) {
  const outer = layouts[type];
  const data = outer.members.find((member) => member.name === 'data');
  const members = {};
  const rest = Buffer.from(bytes);
  rest.fill(0, 0, 8);
  for (const { name, offset, size, kind } of layouts[type.replace('bpf_struct_ops_', '')].members) {
    const field = bytes.subarray(data.offset + offset, data.offset + offset + size);
    rest.fill(0, data.offset + offset, data.offset + offset + size);
    if (field.every((byte) => byte === 0)) continue;
    if (kind === 's') members[name] = text(field);
    else if (kind === 'f') {
      const id = unsigned(field, 0, 8);
      const known = nameOf('prog', id);
      // A slot with dirt in its upper half and no program shows the dirt.
      members[name] = known === '?' ? id : known;
    } else if (kind === 'o') members[name] = { hex: hexOf(field) };
    else members[name] = unsigned(field, 0, size);
  }
  const value = { refcnt: bytes.readInt32LE(0), state: STATES[bytes.readUInt32LE(4)], data: members };
  if (rest.some((byte) => byte !== 0)) value.padding = hexOf(rest);
  return value;
}

/** "Unassociated program p (id 7)" with the program's name for its id. */
const withProgramNames = (line, { nameOf }) =>
  line.replace(/(program \S+ \(id )(\d+)/, (_, before, id) => before + nameOf('prog', Number(id)));

function readInfo(kind, raw, { layouts, nameOf }) {
  const bytes = bytesFrom(raw.info);
  const fields = {};
  for (const [name, [offset, how]] of Object.entries(INFO[kind])) {
    if (typeof how === 'number') fields[name] = unsigned(bytes, offset, how);
    else if (how === 'name') fields[name] = text(bytes.subarray(offset, offset + 16));
    else if (how === 'bit') fields[name] = bytes[offset] & 1;
    else if (how === 'struct') fields[name] = structName(layouts, bytes.readUInt32LE(offset));
    else fields[name] = nameOf(how, bytes.readUInt32LE(offset));
  }
  if (raw.map_ids !== undefined) {
    const ids = bytesFrom(raw.map_ids);
    fields.map_ids = Array.from({ length: fields.nr_map_ids }, (_, i) => nameOf('map', ids.readUInt32LE(i * 4)));
  }
  return fields;
}

const structName = (layouts, id) =>
  id === 0 ? 0 : { struct: Object.keys(layouts).find((name) => layouts[name].id === id) ?? '?' };

/** Lines of /proc/self/fdinfo/N about the bpf object; the file's own (pos, flags, mnt_id, ino) and sizes of memory are not. */
function readFdinfo(content, { nameOf }) {
  const fields = {};
  for (const [, key, value] of content.matchAll(/^(\w+):\s*(.*)$/gm)) {
    if (!/^(pos|flags|mnt_id|ino|memlock|prog_tag)$/.test(key)) {
      const id = /^(map|link|prog)_id$/.exec(key);
      fields[key] = id === null ? value : nameOf(id[1], Number(value));
    }
  }
  return fields;
}
