// What the command line and the library make of one object of the corpus.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as asm from '../../dist/src/asm/index.js';
import { BTF_KIND } from '../../dist/src/btf/types.js';
import { cli } from '../../dist/src/cli/cli.js';
import { createKernel, loadInput, openInput } from '../../dist/src/cli/kernel_input.js';
import { addSubsystems } from '../../dist/src/cli/subsystems.js';
import { VmtableError } from '../../dist/src/errors.js';
import { BPF_PROG_TYPE } from '../../dist/src/uapi.js';
import { compare, objdump } from './objdump.mjs';

const CLI = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
/** Of one run of a scheduler; most take a second. */
const LIMIT_MS = 60_000;

/** The columns of the table, in order. */
export const STEPS = ['inspected', 'disassembled', 'doctor ok', 'loaded', 'attached', 'ran'];

/** Programs that BPF_PROG_TEST_RUN runs. */
const RUNNABLE = new Set(
  ['SYSCALL', 'XDP', 'SCHED_CLS', 'SCHED_ACT', 'SOCKET_FILTER'].map((name) => BPF_PROG_TYPE[name]),
);

/** The command that drives a struct_ops type. */
const DRIVERS = {
  sched_ext_ops: ['sim', '--duration', '200ms'],
  sched_ext_ops_cid: ['sim', '--duration', '200ms'],
  tcp_congestion_ops: ['tcp', '--seconds', '1'],
};

/** What the user-space halves of sched_ext's selftests do before load. */
const SELFTESTS = fileURLToPath(new URL('sched_ext_selftests.mjs', import.meta.url));
const TESTMOD = fileURLToPath(new URL('testmod/testmod.mjs', import.meta.url));

/**
 * For each step `true`, a reason, or undefined if the object has nothing for it. Errors that no user should see (not a
 * VmtableError) are reasons that begin with `unexpected`. `engine` runs the programs; `testmod` is the object whose BTF the
 * kernel's test module has.
 */
export async function judge({ path, kernel, engine, testmod }) {
  const hooks = testmod === undefined ? undefined : TESTMOD;
  if (testmod !== undefined) Object.assign(process.env, { TESTMOD: testmod, OBJECTS: dirname(path) });
  const options = ['--kernel', kernel, ...(hooks ? ['--hooks', hooks] : [])];
  const result = {};
  result.inspected = await command(['inspect', path, '--json']);
  result.disassembled = await command(['disasm', path, '--source']);
  const differing = compare(objdump(path), asm);
  if (differing.length > 0) result.disassembled = `unexpected text: ${differing.join(', ')}`;
  const doctor = await commandOutput(['doctor', path, '--json', ...options]);
  const diagnosis = parse(doctor.out);
  result['doctor ok'] = doctor.failure ?? (diagnosis.ok || lacks(diagnosis));
  await loadAndRun(result, path, { kernel, engine, ...(hooks && { hooks }) }, diagnosis);
  return { ...result, diagnosis };
}

function ioOf(sink) {
  return {
    readFile: (file) => readFileSync(file),
    readStdin: () => new Uint8Array(0),
    importModule: (file) => import(pathToFileURL(file).href),
    out: (text) => {
      sink.out += text;
    },
    err: (text) => {
      sink.err += text;
    },
    colour: false,
    width: 100,
  };
}

async function commandOutput(argv) {
  const sink = { out: '', err: '' };
  try {
    const status = await cli(argv, ioOf(sink));
    const failed = status !== 0 && sink.out === '';
    return { out: sink.out, status, ...(failed && { failure: sink.err.trim() || `status ${status}` }) };
  } catch (error) {
    return { out: '', status: -1, failure: `unexpected ${error.stack}` };
  }
}

async function command(argv) {
  const { failure, status } = await commandOutput(argv);
  return failure ?? (status === 0 || `status ${status}`);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { missing: [], unsupported: [] };
  }
}

/** The needed things that are not there, by kind. */
function lacks({ missing, unsupported, loadError }) {
  const names = [...missing, ...unsupported].filter(({ weak }) => !weak).map(({ kind, name }) => `${kind} ${name}`);
  return [...new Set(names)].join(', ') || loadError || 'no answer';
}

async function loadAndRun(result, path, options, diagnosis) {
  if (diagnosis.loadError !== undefined) {
    result.loaded = diagnosis.loadError;
    return;
  }
  const sink = { out: '', err: '' };
  const io = ioOf(sink);
  const object = openInput(io, path, options);
  const kernel = await createKernel(io, options);
  try {
    addSubsystems(kernel);
    await loadInput(io, path, object, kernel, options);
    result.loaded = true;
    attachAll(result, object);
    const expected = expectations(object);
    const refused = object.programs.filter(({ name }) => expected(name).refused).map(({ name }) => name);
    if (refused.length > 0) result.refused = refused;
    const runnable = object.programs.filter(
      (program) => program.loaded && RUNNABLE.has(program.type) && !expected(program.name).refused,
    );
    const live = runnable.length > 0 ? attachTogether(object) : [];
    const runs = runnable.map((program) => attempt(() => testRun(program)));
    for (const link of live) link.destroy();
    for (const { name } of runnable) {
      const { retval } = expected(name);
      if (retval !== undefined) runs.push(await runAlone(path, options, name, retval));
    }
    const bad = runs.filter((run) => run !== true);
    if (runs.length > 0) result.ran = bad.length === 0 || bad.join('; ');
  } catch (error) {
    if (!(error instanceof VmtableError)) throw error;
    result.loaded = error.message;
  } finally {
    object.close();
    kernel.dispose();
  }
  for (const { structName, name, autoattach } of object.structOps) {
    const drive = DRIVERS[structName.replace(/___.*/, '')];
    if (!drive || !autoattach) continue;
    const { status, out, failure } = drivenBy([
      ...drive,
      path,
      '--kernel',
      options.kernel,
      '--engine',
      options.engine,
      '--map',
      name,
      '--hooks',
      options.hooks ?? SELFTESTS,
      '--json',
    ]);
    if (status !== 0 || result.ran === undefined) result.ran = failure ?? (status === 0 || outcome(parse(out)));
  }
}

/** A driver's command in a process of its own, so that a run without an end is a reason like any other. */
function drivenBy(argv) {
  const options = { encoding: 'utf8', timeout: LIMIT_MS, maxBuffer: 1 << 28 };
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [CLI, ...argv], options);
  if (error) return { failure: error.code === 'ETIMEDOUT' ? `no end within ${LIMIT_MS / 1000} s` : error.message };
  return {
    status,
    out: stdout,
    ...(status !== 0 && stdout === '' && { failure: stderr.trim() || `status ${status}` }),
  };
}

/** Why a scheduler or an algorithm did not come to a good end. */
function outcome({ exit, fault }) {
  if (fault) return fault.message ?? fault;
  return exit ? [exit.reason, exit.message].filter(Boolean).join(': ') : 'failed';
}

/** Attaches every vtable, one after the other: most subsystems take only one. */
function attachAll(result, object) {
  const maps = object.structOps.filter((map) => map.created && map.autoattach);
  const failed = maps.flatMap((map) => {
    const answer = attempt(() => map.attach().destroy());
    return answer === true ? [] : [maps.length > 1 ? `${map.name}: ${answer}` : answer];
  });
  if (maps.length > 0) result.attached = failed.length === 0 || failed.join('; ');
}

/** As many vtables as go together, while the object's programs run: tests drive one through the other. */
function attachTogether(object) {
  const links = [];
  for (const map of object.structOps) {
    if (map.created && map.autoattach) attempt(() => links.push(map.attach()));
  }
  return links;
}

/** What the authors of a selftest say of a program in decl tags (progs/bpf_misc.h: __failure, __retval). */
function expectations({ spec: { btf } }) {
  const tags = new Map();
  for (let id = 1; btf && id < btf.typeCount; id++) {
    if (btf.kindOf(id) !== BTF_KIND.DECL_TAG) continue;
    const { name, type, component } = btf.type(id);
    const text = /^comment:(?:\d+:)?(.*)$/s.exec(name)?.[1];
    if (text === undefined || component !== -1) continue;
    const owner = btf.nameOf(type);
    tags.set(owner, [...(tags.get(owner) ?? []), text]);
  }
  return (name) => {
    const own = tags.get(name) ?? [];
    const retval = own.find((tag) => tag.startsWith('test_retval='))?.slice('test_retval='.length);
    return {
      /** The verifier is to refuse it. */
      refused: own.includes('test_expect_failure'),
      ...(retval !== undefined && own.includes('test_expect_success') && { retval: Number(retval) }),
    };
  };
}

function testRun(program) {
  const packet = program.type !== BPF_PROG_TYPE.SYSCALL;
  return program.testRun(packet ? { data: new Uint8Array(64) } : {}).retval | 0;
}

/** A program whose result its authors know, in a kernel and with maps that no other has touched. */
async function runAlone(path, options, name, retval) {
  const io = ioOf({ out: '', err: '' });
  const object = openInput(io, path, options);
  const kernel = await createKernel(io, options);
  try {
    addSubsystems(kernel);
    await loadInput(io, path, object, kernel, options);
    const result = testRun(object.program(name));
    return result === (retval | 0) || `prog "${name}" returned ${result}, not ${retval}`;
  } catch (error) {
    return error instanceof VmtableError ? error.message : `unexpected ${error.stack}`;
  } finally {
    object.close();
    kernel.dispose();
  }
}

function attempt(body) {
  try {
    body();
    return true;
  } catch (error) {
    return error instanceof VmtableError ? error.message : `unexpected ${error.stack}`;
  }
}
