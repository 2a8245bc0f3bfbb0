import { coReKindName } from '../../btf/core.js';
import { BTF_KIND } from '../../btf/types.js';
import { BpfObject, type StructOpsMap, type Variable } from '../../loader/index.js';
import { setMembers } from '../../loader/requirements.js';
import { isChar } from '../../loader/value.js';
import { isFunctionsOwn } from '../../loader/variable.js';
import type { ObjectSpec } from '../../object/index.js';
import { reachableSubprograms } from '../../object/index.js';
import { table } from '../../table.js';
import { mapTypeName, progTypeName } from '../../uapi_names.js';
import { type AddCommand, json } from '../command.js';
import { parseInput, withObjectOption } from '../object_input.js';

export const addInspect: AddCommand = (program, io) => {
  const command = program
    .command('inspect')
    .description('what is inside an object: programs, maps, struct_ops, variables, externs, relocations')
    .argument('<file>', 'BPF object, or an executable that embeds one')
    .option('--json', 'one JSON document');
  withObjectOption(command).action((file: string, options: { json?: boolean; object?: string }) => {
    const spec = parseInput(io, file, options.object);
    const summary = inspect(spec);
    io.out(options.json ? json(summary) : formatInspection(summary));
  });
};

export function inspect(spec: ObjectSpec) {
  const coRe = new Map<string, number>();
  for (const code of [...spec.programs, ...spec.subprograms]) {
    for (const relo of code.coRe) {
      const kind = coReKindName(relo.kind);
      coRe.set(kind, (coRe.get(kind) ?? 0) + 1);
    }
  }
  const object = new BpfObject(spec);
  return {
    name: spec.name,
    license: spec.license,
    programs: spec.programs.map((prog) => ({
      name: prog.name,
      section: prog.type,
      type: progTypeName(prog.progType),
      insns: prog.insns.length / 8,
      subprograms: reachableSubprograms(spec, prog).length,
      attach: prog.attachTo,
      sleepable: prog.sleepable,
      autoload: prog.autoload,
    })),
    maps: spec.maps.map((map) => ({
      name: map.name,
      type: mapTypeName(map.type),
      keySize: map.keySize,
      valueSize: map.valueSize,
      maxEntries: map.maxEntries,
      flags: map.flags,
      section: map.section,
      variables: map.data?.variables.map(({ name, offset, size }) => ({ name, offset, size })),
    })),
    structOps: object.structOps.map((ops) => ({
      name: ops.name,
      type: ops.structName,
      link: ops.isLink,
      autocreate: ops.autocreate,
      members: structOpsMembers(spec, ops),
    })),
    variables: settable(object),
    externs: spec.externs.map(({ name, kind, weak }) => ({ name, kind, weak })),
    relocations: spec.relocationCounts,
    coRe: [...coRe].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, count]) => ({ kind, count })),
  };
}

type Inspection = ReturnType<typeof inspect>;
type Member = { name: string; program: string } | { name: string; value: unknown };

/** The members that the object sets: programs by name, and values that are not zero. */
function structOpsMembers(spec: ObjectSpec, ops: StructOpsMap): Member[] {
  const programs = new Map(ops.programs.map(({ member, program }) => [member, program.name]));
  return (spec.btf ? setMembers(spec.btf, ops.structOps) : []).map((name): Member => {
    const program = programs.get(name);
    return program === undefined ? { name, value: ops.get(name) } : { name, program };
  });
}

/** What `--set` takes: global variables, but for those that functions keep for themselves, as `function.name`. */
function settable(object: BpfObject) {
  return object.variables
    .filter(({ name, map }) => map.spec.section !== '.kconfig' && !isFunctionsOwn(name))
    .map((variable) => ({
      name: variable.name,
      type: variable.type,
      section: variable.map.spec.section === '.maps' ? variable.map.name : variable.map.spec.section,
      size: variable.size,
      value: holdsScalar(variable) ? variable.get() : undefined,
    }));
}

/** Whether a variable is an integer, an enum, a bool or text. */
function holdsScalar({ btf, place }: Variable): boolean {
  const type = btf.type(btf.resolve(place.type));
  const { INT, ENUM, ENUM64, ARRAY } = BTF_KIND;
  return (
    type.kind === INT || type.kind === ENUM || type.kind === ENUM64 || (type.kind === ARRAY && isChar(btf, type.type))
  );
}

function formatInspection(of: Inspection): string {
  const parts = [`object ${of.name}  license ${of.license || '(none)'}\n`];
  const section = (title: string, body: string) => parts.push(`\n${title}\n${body}`);
  if (of.programs.length) {
    const rows = of.programs.map((p) => [
      p.name,
      p.section,
      p.type,
      p.insns,
      p.subprograms,
      p.autoload ? '' : 'autoload off',
    ]);
    section(
      `programs (${of.programs.length})`,
      table(['name', 'section', 'type', 'insns', 'subprograms', ''], rows, '  '),
    );
  }
  if (of.maps.length) {
    const rows = of.maps.map((m) => [
      m.name,
      m.type,
      m.keySize,
      m.valueSize,
      m.maxEntries,
      `0x${m.flags.toString(16)}`,
    ]);
    section(`maps (${of.maps.length})`, table(['name', 'type', 'key', 'value', 'max', 'flags'], rows, '  '));
  }
  for (const ops of of.structOps) {
    const rows = ops.members.map((m) => [`.${m.name}`, 'program' in m ? m.program : String(m.value)]);
    section(
      `struct_ops ${ops.name}: ${ops.type}${ops.link ? ', attached by link' : ''}${ops.autocreate ? '' : ', autocreate off'}`,
      table(['member', 'program or value'], rows, '  '),
    );
  }
  if (of.variables.length) {
    const rows = of.variables.map((v) => [
      v.name,
      v.type,
      v.section,
      typeof v.value === 'string' ? JSON.stringify(v.value) : String(v.value ?? ''),
    ]);
    section(`variables (${of.variables.length})`, table(['name', 'type', 'section', 'value'], rows, '  '));
  }
  if (of.externs.length) {
    const rows = of.externs.map((e) => [e.name, e.kind, e.weak ? 'weak' : '']);
    section(`externs (${of.externs.length})`, table(['name', 'kind', ''], rows, '  '));
  }
  const relocs = Object.entries(of.relocations).map(([name, count]) => `${name} ${count}`);
  const coRe = of.coRe.map(({ kind, count }) => `${kind} ${count}`);
  parts.push(`\nrelocations: ${relocs.join(', ') || 'none'}\nCO-RE: ${coRe.join(', ') || 'none'}\n`);
  return parts.join('').replace(/ +$/gm, '');
}
