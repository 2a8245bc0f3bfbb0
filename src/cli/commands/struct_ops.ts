import { InputError } from '../../errors.js';
import type { Kernel } from '../../kernel/index.js';
import type { BpfProg } from '../../kernel/prog/prog.js';
import { ASSOC_POISON, type StructOpsAssoc } from '../../kernel/struct_ops/assoc.js';
import { StructOpsLink } from '../../kernel/struct_ops/link.js';
import { StructOpsMap as KernelStructOpsMap } from '../../kernel/struct_ops/map.js';
import { type StructOpsMap, withLacking } from '../../loader/index.js';
import { table } from '../../table.js';
import { type AddCommand, inFile, json } from '../command.js';
import { createKernel, type LoadOptions, loadInput, openInput, withLoadOptions } from '../kernel_input.js';
import { addSubsystems } from '../subsystems.js';

interface StructOpsOptions extends LoadOptions {
  map?: string;
  json?: boolean;
}

export const addStructOps: AddCommand = (program, io) => {
  const command = program
    .command('struct_ops')
    .description('load an object, attach its struct_ops maps, show what the kernel made of them, detach')
    .argument('<file>', 'BPF object')
    .option('--map <name>', 'only this struct_ops map')
    .option('--json', 'one JSON document');
  withLoadOptions(command).action(async (file: string, options: StructOpsOptions) => {
    const object = openInput(io, file, options);
    const chosen = inFile(file, () => {
      const maps = object.structOps.filter((map) => options.map === undefined || map.name === options.map);
      // What the object leaves to its user (`?`) is tried if it is named or all there is.
      const wanted = options.map === undefined ? maps.filter((map) => map.autocreate) : maps;
      if (maps.length > 0) return wanted.length > 0 ? wanted : maps;
      const names = object.structOps.map((map) => map.name).join(', ') || 'none';
      throw new InputError(`no struct_ops map${options.map ? ` "${options.map}"` : ''} (there are: ${names})`);
    });
    for (const map of object.structOps) map.autocreate = chosen.includes(map);
    const kernel = await createKernel(io, options);
    try {
      addSubsystems(kernel);
      const hooks = await loadInput(io, file, object, kernel, options);
      await hooks.beforeAttach?.(object, kernel);
      // One at a time: many subsystems take only one implementation.
      const shown = chosen.map((map) => inFile(file, () => attachAndShow(kernel, map)));
      const document = { kernel: kernel.profile.release, maps: shown, messages: object.messages };
      io.out(options.json ? json(document) : shown.map(format).join('\n'));
    } catch (error) {
      throw withLacking(error, object, kernel);
    } finally {
      object.close();
      kernel.dispose();
    }
  });
};

const STATES = ['INIT', 'INUSE', 'TOBEFREE', 'READY'];

function attachAndShow(kernel: Kernel, map: StructOpsMap): Shown {
  const live = liveMap(kernel, map.fd);
  const before = STATES[live.state]!;
  const link = map.attach();
  let shown: Attached;
  try {
    shown = attached(kernel, map.name, live, before);
  } finally {
    link.destroy();
  }
  return { ...shown, stateAfter: STATES[live.state]! };
}

/** What the kernel holds of a map that is attached. */
function attached(kernel: Kernel, name: string, live: KernelStructOpsMap, before: string) {
  const { desc } = live;
  const members = desc.members.flatMap((member): { name: string; program?: string; value?: unknown }[] => {
    const slot = live.memberProgs.find((candidate) => candidate.member === member.name);
    if (slot) return [{ name: member.name, program: slot.prog.fullName }];
    const value = scalar(live, member.name);
    return value === undefined ? [] : [{ name: member.name, value }];
  });
  const programs = live.memberProgs.map(({ member, prog }) => ({ member, ...programOf(prog) }));
  const ids = new Set(programs.map(({ id }) => id));
  const link = [...kernel.links.values()].find((each) => each instanceof StructOpsLink && each.map === live);
  return {
    name,
    type: desc.name,
    btf: { object: desc.btf.name, struct: desc.structId, value: desc.valueId, valueSize: desc.valueSize },
    id: live.id,
    link: live.isLink,
    linkId: link?.id ?? null,
    stateBefore: before,
    state: STATES[live.state]!,
    refcnt: live.refs.count - live.usercnt,
    kdata: kernel.memory.address(live.kdata.ptr),
    members,
    unset: desc.members.filter(({ kind, name }) => kind === 'func' && !live.kdata.ops[name]).map(({ name }) => name),
    programs,
    // Those that BPF_PROG_ASSOC_STRUCT_OPS tied to the map; each of them holds a reference to it.
    associated: [...kernel.progs.values()]
      .filter((prog) => prog.aux.structOpsAssoc === live && !ids.has(prog.id))
      .map(programOf),
  };
}

function programOf(prog: BpfProg) {
  return {
    name: prog.fullName,
    id: prog.id,
    insns: prog.insnCount,
    sleepable: prog.sleepable,
    usedMaps: prog.aux.used_maps.map((used) => used.name),
    arena: prog.aux.arena?.name ?? null,
    association: associationOf(prog.aux.structOpsAssoc),
  };
}

type Attached = ReturnType<typeof attached>;
type Shown = Attached & { stateAfter: string };

function liveMap(kernel: Kernel, fd: number): KernelStructOpsMap {
  const live = kernel.fds.map(fd);
  if (!(live instanceof KernelStructOpsMap)) throw new InputError(`map fd ${fd} is no struct_ops map`);
  return live;
}

function associationOf(assoc: StructOpsAssoc): string | null {
  if (assoc === null) return null;
  return assoc === ASSOC_POISON ? 'several maps (poisoned)' : assoc.name;
}

/** A member that is a number or text and not zero. */
function scalar(live: KernelStructOpsMap, member: string): number | bigint | string | undefined {
  const field = live.kernel.typesOf(live.desc.btf.view).structById(live.desc.structId).tryField(member);
  if (!field || field.kind === 'aggregate' || field.kind === 'pointer' || field.kind === 'float') return undefined;
  const value = live.kdata.get(member);
  return value === 0 || value === 0n || value === '' ? undefined : value;
}

function format(map: Shown): string {
  const { btf } = map;
  const head = `struct_ops ${map.name}: ${map.type}, map id ${map.id}, kdata 0x${map.kdata.toString(16)}`;
  const type = `type ${map.type} of ${btf.object}: BTF ids ${btf.struct}, value ${btf.value} (${btf.valueSize} bytes)`;
  const how = map.linkId === null ? 'registered by update' : `attached by link id ${map.linkId}`;
  const state = `state ${map.stateBefore} → ${map.state}, ${how}, refcnt ${map.refcnt}; detached: ${map.stateAfter}`;
  const values = map.members
    .filter((member) => member.value !== undefined)
    .map(({ name, value }) => [name, String(value)]);
  const programs = map.programs.map((prog) => [prog.member, ...row(prog)]);
  const columns = ['program', 'id', 'insns', 'used maps', 'arena', 'associated with'];
  const others = map.associated.map(row);
  return [
    `${head}\n  ${type}\n  ${state}\n`,
    values.length ? `\n${table(['member', 'value'], values, '  ')}` : '',
    programs.length ? `\n${table(['member', ...columns], programs, '  ')}` : '',
    map.unset.length ? `\n  unset: ${map.unset.join(' ')}\n` : '',
    others.length ? `\n  associated by BPF_PROG_ASSOC_STRUCT_OPS\n${table(columns, others, '  ')}` : '',
  ].join('');
}

function row(prog: Shown['programs'][number] | Shown['associated'][number]): (string | number)[] {
  return [
    prog.sleepable ? `${prog.name} (sleepable)` : prog.name,
    prog.id,
    prog.insns,
    prog.usedMaps.join(' ') || '-',
    prog.arena ?? '-',
    prog.association ?? '-',
  ];
}
