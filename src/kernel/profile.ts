import { gunzip, readAsset } from '#platform';
import { checkArgument, checkOptions } from '../argument.js';
import { Btf } from '../btf/btf.js';
import { type NameOrder, parseNameOrder } from '../btf/name_order.js';
import type { BtfView } from '../btf/types.js';
import { InputError } from '../errors.js';
import type { Profile, ProfileBehaviours } from './types.js';

/** Names of the profiles that this package ships, newest first; the first is the default. */
export const PROFILE_NAMES = ['7.3', '6.18', '6.12'] as const;
export type ProfileName = (typeof PROFILE_NAMES)[number];

const RELEASES: Readonly<Record<ProfileName, string>> = { '7.3': '7.3.4', '6.18': '6.18.15', '6.12': '6.12.117' };

type SwitchName = Exclude<keyof ProfileBehaviours, 'config'>;

/** One behaviour: the version that brought it, and an enumerator of the kernel's BTF that proves it where one exists. */
interface Switch {
  since: number;
  evidence?: string;
}

/**
 * Every behaviour of this layer that differs between kernels. A backport shows in the BTF, so `evidence` outranks the
 * version for a BTF that a user brings.
 */
const SWITCHES: Readonly<Record<SwitchName, Switch>> = {
  // 7.0, kernel/bpf/syscall.c prog_assoc_struct_ops(), kernel/bpf/bpf_struct_ops.c bpf_struct_ops_map_update_elem().
  structOpsAssociation: { since: kernelVersion(7, 0, 0), evidence: 'BPF_PROG_ASSOC_STRUCT_OPS' },
  // 6.13, kernel/bpf/verifier.c check_struct_ops_btf_id(): aux->priv_stack_requested.
  structOpsPrivateStack: { since: kernelVersion(6, 13, 0) },
  // 6.15, kernel/bpf/bpf_struct_ops.c prepare_arg_info(): the suffix __ref; verifier: no tail calls beside such an argument.
  structOpsRefArgs: { since: kernelVersion(6, 15, 0) },
  // 6.15, arch/x86/kernel/vmlinux.lds.S: PERCPU_SECTION in place of PERCPU_VADDR(…, 0, …).
  percpuPlaces: { since: kernelVersion(6, 15, 0) },
  // 6.16, kernel/bpf/bpf_struct_ops.c bpf_struct_ops_desc_init(): a returned pointer must point to a struct.
  structOpsPointerReturn: { since: kernelVersion(6, 16, 0) },
  // 7.3, kernel/bpf/bpf_struct_ops.c prepare_arg_info(): the suffixes __arena and __arena__nullable.
  structOpsArenaArgs: { since: kernelVersion(7, 3, 0) },
  // 7.0, kernel/bpf/syscall.c bpf_map_check_op_flags(): BPF_F_CPU and BPF_F_ALL_CPUS for per-CPU maps.
  perCpuElemFlags: { since: kernelVersion(7, 0, 0), evidence: 'BPF_F_ALL_CPUS' },
  // 7.0, kernel/bpf/verifier.c specialize_kfunc(): bpf_arena_alloc_pages_non_sleepable(), bpf_arena_free_pages_non_sleepable().
  arenaNonSleepable: { since: kernelVersion(7, 0, 0), evidence: 'KF_bpf_arena_alloc_pages' },
  // 6.18, kernel/bpf/arena.c bpf_prog_report_arena_violation().
  arenaReports: { since: kernelVersion(6, 18, 0) },
  // 7.3 at the latest, arch/x86/net/bpf_jit_comp.c do_jit(): bpf_atomic_load_reg() where the exception table is filled.
  arenaFetchZeroes: { since: kernelVersion(7, 3, 0) },
  // 6.13, kernel/bpf/range_tree.c: range_tree_find() in place of mtree_alloc_range().
  arenaBestFit: { since: kernelVersion(6, 13, 0) },
  // 7.0, kernel/bpf/helpers.c bpf_async_update_prog_callback(): no lock, no test of map->usercnt.
  asyncLockless: { since: kernelVersion(7, 0, 0) },
  // 6.15, kernel/bpf/hashtab.c htab_map_update_elem_in_place().
  hashOfMapsInPlace: { since: kernelVersion(6, 15, 0) },
  // 7.3, kernel/bpf/arraymap.c percpu_array_map_ops: array_map_meta_equal().
  perCpuInnerArrays: { since: kernelVersion(7, 3, 0) },
  // 7.3, kernel/bpf/verifier.c check_map_prog_compatibility(), kernel/bpf/core.c __bpf_prog_map_compatible().
  sleepableProgArrays: { since: kernelVersion(7, 3, 0) },
  // 7.0, kernel/bpf/verifier.c resolve_pseudo_ldimm64(): no test for BPF_MAX_VAR_OFF.
  directValueAnyOffset: { since: kernelVersion(7, 0, 0) },
  // 7.3 at the latest, kernel/bpf/helpers.c bpf_bprintf_prepare(): isascii() before the test for printable ones.
  bprintfUtf8: { since: kernelVersion(7, 3, 0) },
  // 6.19, kernel/bpf/helpers.c bpf_dynptr_read() and all others: u64 in place of u32.
  dynptrWideRanges: { since: kernelVersion(6, 19, 0), evidence: 'BPF_DYNPTR_TYPE_FILE' },
  // 6.19, kernel/bpf/ringbuf.c ringbuf_map_alloc(): overwrite_mode.
  ringbufOverwrite: { since: kernelVersion(6, 19, 0), evidence: 'BPF_F_RB_OVERWRITE' },
};

/** KERNEL_VERSION(a, b, c) of include/uapi/linux/version.h: a sublevel above 255 counts as 255. */
export function kernelVersion(major: number, minor: number, sublevel: number): number {
  for (const part of [major, minor, sublevel]) checkArgument('kernelVersion: a part', part, 'count');
  return major * 65536 + minor * 256 + Math.min(sublevel, 255);
}

/** Version number of a release string such as `6.18.15+deb13-cloud-amd64`. Throws InputError. */
export function parseRelease(release: string): number {
  checkArgument('parseRelease: release', release, 'text');
  const match = /^(\d{1,3})\.(\d{1,3})(?:\.(\d{1,5}))?/.exec(release);
  if (!match) throw new InputError(`kernel release "${release}": not of the form 6.18 or 6.18.15`);
  return kernelVersion(Number(match[1]), Number(match[2]), Number(match[3] ?? 0));
}

function behaviours(version: number, btf: BtfView, config: Readonly<Record<string, string>>): ProfileBehaviours {
  const has = (name: SwitchName) => {
    const { since, evidence } = SWITCHES[name];
    return evidence === undefined ? version >= since : btf.enumerator(evidence) !== undefined;
  };
  return {
    structOpsAssociation: has('structOpsAssociation'),
    structOpsPrivateStack: has('structOpsPrivateStack'),
    structOpsRefArgs: has('structOpsRefArgs'),
    percpuPlaces: has('percpuPlaces'),
    structOpsPointerReturn: has('structOpsPointerReturn'),
    structOpsArenaArgs: has('structOpsArenaArgs'),
    perCpuElemFlags: has('perCpuElemFlags'),
    arenaNonSleepable: has('arenaNonSleepable'),
    arenaReports: has('arenaReports'),
    arenaFetchZeroes: has('arenaFetchZeroes'),
    arenaBestFit: has('arenaBestFit'),
    asyncLockless: has('asyncLockless'),
    hashOfMapsInPlace: has('hashOfMapsInPlace'),
    perCpuInnerArrays: has('perCpuInnerArrays'),
    sleepableProgArrays: has('sleepableProgArrays'),
    directValueAnyOffset: has('directValueAnyOffset'),
    bprintfUtf8: has('bprintfUtf8'),
    dynptrWideRanges: has('dynptrWideRanges'),
    ringbufOverwrite: has('ringbufOverwrite'),
    config,
  };
}

const loaded = new Map<ProfileName, Promise<Profile>>();

/** A profile of this package: `7.3` (default), `6.18` or `6.12`; read once per process. Throws InputError for other names. */
export function loadProfile(name: string = PROFILE_NAMES[0]): Promise<Profile> {
  checkArgument('loadProfile: name', name, 'text');
  if (!isProfileName(name)) {
    throw new InputError(`kernel "${name}": there is no such profile (${PROFILE_NAMES.join(', ')})`);
  }
  let profile = loaded.get(name);
  if (!profile) {
    profile = readProfile(name);
    loaded.set(name, profile);
    // A failed read (offline web page) may be tried again.
    profile.catch(() => loaded.delete(name));
  }
  return profile;
}

function isProfileName(name: string): name is ProfileName {
  return (PROFILE_NAMES as readonly string[]).includes(name);
}

async function readProfile(name: ProfileName): Promise<Profile> {
  const packed = readAsset(`profiles/${name}.btf.gz`);
  const [btf, order, config] = await Promise.all([
    packed.then(gunzip),
    readAsset(`profiles/${name}.names.gz`).then(gunzip).then(parseNameOrder),
    readConfig(name),
  ]);
  checkOrder(name, await packed, order);
  return makeProfile(name, RELEASES[name], Btf.parse(btf, undefined, order), config);
}

/**
 * The order of names holds for one blob, named by CRC-32 and length; both are the last 8 bytes of the stream that the blob came
 * in (RFC 1952 section 2.3.1), and whoever unpacked it has compared them with its content.
 */
function checkOrder(name: string, packed: Uint8Array, order: NameOrder): void {
  const trailer = new DataView(packed.buffer, packed.byteOffset + packed.length - 8, 8);
  if (trailer.getUint32(0, true) === order.crc && trailer.getUint32(4, true) === order.bytes) return;
  throw new InputError(`profile ${name}: ${name}.names.gz was not made from ${name}.btf.gz (npm run profiles)`);
}

async function readConfig(name: ProfileName): Promise<Readonly<Record<string, string>>> {
  const text = new TextDecoder().decode(await readAsset(`profiles/${name}.config.json`));
  return JSON.parse(text) as Record<string, string>;
}

function makeProfile(name: string, release: string, btf: Btf, config: Readonly<Record<string, string>>): Profile {
  const version = parseRelease(release);
  return { name, release, version, btf, behaviours: behaviours(version, btf, config) };
}

export interface OwnProfileOptions {
  /** Release that the BTF comes from, e.g. `6.14.2`; default 7.3.4. Decides what the BTF itself does not show. */
  release?: string;
  /** What the profile is called; default the release. */
  name?: string;
  /** The kernel's configuration (`CONFIG_HZ` → `250`); default that of the shipped profile nearest below the release. */
  config?: Readonly<Record<string, string>>;
}

/**
 * A profile from raw kernel BTF, such as /sys/kernel/btf/vmlinux. Throws InputError naming the offset or type that is wrong.
 */
export async function profileFromBtf(bytes: Uint8Array, options: OwnProfileOptions = {}): Promise<Profile> {
  checkArgument('profileFromBtf: bytes', bytes, 'bytes');
  checkOptions('profileFromBtf:', options, { release: 'text', name: 'text', config: 'options' });
  const release = options.release ?? RELEASES[PROFILE_NAMES[0]];
  const config = options.config ?? (await readConfig(nearestProfile(parseRelease(release))));
  return makeProfile(options.name ?? release, release, Btf.parse(bytes), config);
}

/** The newest shipped profile that is not newer than `version`, or the oldest. */
function nearestProfile(version: number): ProfileName {
  return PROFILE_NAMES.find((name) => parseRelease(name) <= version) ?? PROFILE_NAMES[PROFILE_NAMES.length - 1]!;
}
