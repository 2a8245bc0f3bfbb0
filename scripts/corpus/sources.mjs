// The sources that the corpus is compiled from: two kernels of Debian's archive, only the folders needed, and what a kernel's
// build would generate for them.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Btf } from '../../dist/src/btf/index.js';
import { BACKPORTS, downloadPackages, unpackPackage, unpackSource } from '../debian_download.mjs';
import { wholeHeader } from '../vmlinux_h.mjs';

/** Debian's 6.12 is in the machine's own suite; its BTF has no sched_ext, so that header is written from the profile. */
export const KERNELS = {
  6.12: { source: 'linux-source-6.12', suite: undefined },
  7.3: { source: 'linux-source-7.3', suite: BACKPORTS, headerPackage: 'linux-bpf-dev' },
};
const HEADER = 'usr/include/x86_64-linux-gnu/linux/bpf/vmlinux.h';

const MEMBERS = [
  'tools/sched_ext',
  'tools/testing/selftests/sched_ext',
  'tools/testing/selftests/bpf',
  'tools/lib/bpf',
  'tools/include',
  'include/uapi',
  'scripts/bpf_doc.py',
];

/** The headers that `make -C tools/lib/bpf install_headers` installs, but the generated one. */
const LIBBPF_HEADERS = [
  ...['bpf.h', 'libbpf.h', 'btf.h', 'libbpf_common.h', 'libbpf_legacy.h', 'libbpf_version.h'],
  ...['bpf_helpers.h', 'bpf_tracing.h', 'bpf_endian.h', 'bpf_core_read.h', 'skel_internal.h', 'usdt.bpf.h'],
];

/**
 * Makes `cache/<version>` ready: `src` the sources, `include` vmlinux.h and libbpf's headers, `package` the name and version of
 * the Debian package. Does nothing if it is there.
 */
export function prepareKernel(cache, profiles, version, say) {
  const { source, suite, headerPackage } = KERNELS[version];
  const dir = join(cache, version);
  const [src, include, stamp] = ['src', 'include', 'package'].map((name) => join(dir, name));
  if (existsSync(stamp)) {
    if (!headerPackage) headerFromProfile(dir, profiles, version);
    return { dir, src, include, package: readFileSync(stamp, 'utf8').trim() };
  }
  for (const old of [src, include]) rmSync(old, { recursive: true, force: true });
  mkdirSync(include, { recursive: true });
  say(`${version}: downloading ${source}`);
  const debs = downloadPackages(join(dir, 'download'), headerPackage ? [source, headerPackage] : [source], suite);
  say(`${version}: unpacking`);
  unpackSource(debs[0], src, MEMBERS);
  if (headerPackage) {
    unpackPackage(debs[1], join(dir, 'dev'), [HEADER]);
    cpSync(join(dir, 'dev', HEADER), join(include, 'vmlinux.h'));
  } else {
    headerFromProfile(dir, profiles, version);
  }
  installLibbpf(src, join(include, 'bpf'));
  const name = execFileSync('dpkg-deb', ['-f', debs[0], 'Package', 'Version'], { encoding: 'utf8' });
  const title = name.match(/^(Package|Version): .*$/gm).map((line) => line.split(': ')[1]);
  rmSync(join(dir, 'download'), { recursive: true, force: true });
  writeFileSync(stamp, `${title.join(' ')}\n`);
  return { dir, src, include, package: title.join(' ') };
}

/** Writes vmlinux.h unless it is the profile's already; objects that were compiled with another one go. */
function headerFromProfile(dir, profiles, version) {
  const [header, stamp] = [join(dir, 'include/vmlinux.h'), join(dir, 'profile')];
  const packed = readFileSync(join(profiles, `${version}.btf.gz`));
  const digest = createHash('sha256').update(packed).digest('hex');
  if (existsSync(header) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  rmSync(join(dir, 'objects'), { recursive: true, force: true });
  writeFileSync(header, wholeHeader(Btf.parse(gunzipSync(packed)), `profiles/${version}.btf.gz`));
  writeFileSync(stamp, digest);
}

function installLibbpf(src, into) {
  mkdirSync(into, { recursive: true });
  for (const header of LIBBPF_HEADERS) cpSync(join(src, 'tools/lib/bpf', header), join(into, header));
  const args = ['scripts/bpf_doc.py', '--header', '--filename', 'tools/include/uapi/linux/bpf.h'];
  const options = { cwd: src, maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'inherit'] };
  writeFileSync(join(into, 'bpf_helper_defs.h'), execFileSync('python3', args, options));
}
