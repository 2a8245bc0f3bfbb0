import { beforeEach, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { POLLHUP } from '../../../src/kernel/link.js';
import type { StructOpsLink } from '../../../src/kernel/struct_ops/link.js';
import { BPF_ATTACH_TYPE, BPF_F_REPLACE } from '../../../src/uapi.js';
import { ToyKernel, toy, toyBtf } from '../toy.js';

let t: ToyKernel;
beforeEach(async () => {
  t = await ToyKernel.create();
});

/** A map in READY. */
function ready(name: string): number {
  const fd = t.map(name);
  expect(t.update(fd, {})).toBe(0);
  return fd;
}

const linkUpdate = (link_fd: number, new_map_fd: number, more: { flags?: number; old_map_fd?: number } = {}) =>
  t.kernel.bpf('LINK_UPDATE', { link_fd, new_map_fd, ...more });
const replace = (link: number, next: number, old: number) =>
  linkUpdate(link, next, { flags: BPF_F_REPLACE, old_map_fd: old });

function mapIdOf(link: number): unknown {
  const info: Record<string, unknown> = {};
  t.kernel.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: link, info });
  return (info.struct_ops as Record<string, unknown>).map_id;
}
const idOf = (fd: number) => {
  const map = t.kernel.fds.map(fd);
  return typeof map === 'number' ? -1 : map.id;
};

describe('create', () => {
  test('registers with the link, which holds the map', () => {
    const map = ready('m');
    const link = t.link(map);
    expect(link).toBeGreaterThan(0);
    expect(t.toy.events.at(-1)).toEqual(['reg', 'm', 'link']);
    expect(t.state(map).refcnt).toBe(1);
    const info: Record<string, unknown> = {};
    t.kernel.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: link, info });
    expect(info).toEqual({ type: 9, id: 1, prog_id: 0, struct_ops: { map_id: idOf(map) } });
    expect(t.kernel.poll(link)).toBe(0);
  });

  test('wants a READY map with BPF_F_LINK, and says EINVAL for all else', () => {
    expect(t.link(99)).toBe(-ERRNO.EBADF);
    expect(t.link(t.userBtf)).toBe(-ERRNO.EINVAL);
    expect(t.link(t.map('init'))).toBe(-ERRNO.EINVAL);
    const plain = t.map('plain', false);
    t.update(plain, {});
    expect(t.link(plain)).toBe(-ERRNO.EINVAL);
    const array = t.kernel.bpf('MAP_CREATE', { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 });
    expect(t.link(array)).toBe(-ERRNO.EINVAL);
  });

  test('looks at nothing but the map: flags and target may be anything', () => {
    const attr = { map_fd: ready('m'), attach_type: BPF_ATTACH_TYPE.STRUCT_OPS, flags: 0xdeadbeef, target_fd: 77 };
    expect(t.kernel.bpf('LINK_CREATE', attr)).toBeGreaterThan(0);
  });

  test('when reg refuses, unreg is not called and nothing remains but a used id', () => {
    const map = ready('m');
    t.toy.answers.reg = -ERRNO.EEXIST;
    expect(t.link(map)).toBe(-ERRNO.EEXIST);
    expect(t.toy.events.filter(([event]) => event === 'unreg')).toEqual([]);
    expect(t.kernel.links.size).toBe(0);
    expect(t.state(map).refcnt).toBe(0);
    t.toy.answers.reg = 0;
    t.link(map);
    expect(t.kernel.links.values().map((link) => link.id)).toEqual([2]);
  });

  test('reg runs while the link has no id, and cannot be found by the one it will get', () => {
    const map = ready('m');
    const seen: number[] = [];
    const reg = t.toy.def.reg;
    t.toy.def.reg = (kdata, link) => {
      seen.push(link!.id, t.kernel.bpf('LINK_GET_FD_BY_ID', { link_id: 1 }));
      return reg(kdata, link);
    };
    t.link(map);
    expect(seen).toEqual([0, -ERRNO.EAGAIN]);
  });

  test('a second link on the same map is up to the subsystem', () => {
    const map = ready('m');
    expect(t.link(map)).toBeGreaterThan(0);
    expect(t.link(map)).toBeGreaterThan(0);
    expect(t.toy.registered[0]).toBe(t.toy.registered[1]);
    expect(t.state(map).refcnt).toBe(2);
  });

  test('there is none when reg forgets its answer', () => {
    const map = ready('m');
    Object.assign(t.toy.def, { reg: () => undefined });
    expect(() => t.link(map)).toThrow('struct_ops "toy_ops": reg answered undefined, which is neither 0 nor -errno');
    expect([t.kernel.links.values().length, t.state(map).refcnt]).toEqual([0, 0]);
  });

  test("with another attach type the fd is a program's", () => {
    const map = ready('m');
    expect(t.kernel.bpf('LINK_CREATE', { map_fd: map, attach_type: 0 })).toBe(-ERRNO.EINVAL);
    const prog = t.prog('sum', 'r0 = 0\nexit\n');
    expect(t.kernel.bpf('LINK_CREATE', { prog_fd: prog, attach_type: 0 })).toBe(-ERRNO.EINVAL);
    expect(t.kernel.bpf('LINK_CREATE', { prog_fd: prog, attach_type: 9999 })).toBe(-ERRNO.EINVAL);
    expect(t.kernel.bpf('RAW_TRACEPOINT_OPEN', { prog_fd: prog })).toBe(-ERRNO.EINVAL);
  });
});

describe('update', () => {
  test('leaves the old map in the link when update forgets its answer', () => {
    const [a, b] = [ready('a'), ready('b')];
    const link = t.link(a);
    Object.assign(t.toy.def, { update: () => undefined });
    expect(() => linkUpdate(link, b)).toThrow('update answered undefined');
    expect([t.state(a).refcnt, t.state(b).refcnt]).toEqual([1, 0]);
  });

  test('moves the link to the new map; the old one stays READY', () => {
    const [a, b] = [ready('a'), ready('b')];
    const link = t.link(a);
    expect(linkUpdate(link, b)).toBe(0);
    expect(t.toy.events.at(-1)).toEqual(['update', 'b', 'a']);
    expect([t.state(a).refcnt, t.state(b).refcnt, mapIdOf(link)]).toEqual([0, 1, idOf(b)]);
    expect(linkUpdate(link, a)).toBe(0);
    expect(mapIdOf(link)).toBe(idOf(a));
  });

  test("errors come in the kernel's order", () => {
    const [a, b] = [ready('a'), ready('b')];
    const init = t.map('init');
    const link = t.link(a);
    expect(linkUpdate(99, 99, { flags: 1 })).toBe(-ERRNO.EINVAL); // flags first
    expect(linkUpdate(99, 99)).toBe(-ERRNO.EBADF);
    expect(linkUpdate(a, 99)).toBe(-ERRNO.EINVAL); // no link
    expect(linkUpdate(link, 99, { old_map_fd: 98 })).toBe(-ERRNO.EBADF); // new map before the old one
    expect(linkUpdate(link, b, { old_map_fd: a })).toBe(-ERRNO.EINVAL); // old map without BPF_F_REPLACE
    expect(replace(link, init, b)).toBe(-ERRNO.EINVAL); // READY before expected old
    expect(replace(link, b, b)).toBe(-ERRNO.EPERM);
    t.toy.answers.update = -ERRNO.EPROTO;
    expect(replace(link, b, a)).toBe(-ERRNO.EPROTO);
    expect(mapIdOf(link)).toBe(idOf(a));
    t.kernel.bpf('LINK_DETACH', { link_fd: link });
    expect(replace(link, b, b)).toBe(-ERRNO.ENOLINK); // detached before expected old
    expect(linkUpdate(link, init)).toBe(-ERRNO.EINVAL); // READY before detached
  });

  test('without an update callback: EOPNOTSUPP, after READY and before the link is looked at', () => {
    const { update: _, ...without } = t.toy.def;
    Object.assign(t.kernel.btfs.values().find((btf) => btf.view === t.btf)!.structOps[0]!, { def: without });
    const [a, b] = [ready('a'), ready('b')];
    const link = t.link(a);
    expect(linkUpdate(link, t.map('init'))).toBe(-ERRNO.EINVAL);
    expect(replace(link, b, b)).toBe(-ERRNO.EOPNOTSUPP);
    t.kernel.bpf('LINK_DETACH', { link_fd: link });
    expect(linkUpdate(link, b)).toBe(-ERRNO.EOPNOTSUPP);
  });

  test('wants a map of the same type', () => {
    const otherBtf = toyBtf(t.kernel.profile.btf, 'other_ops');
    const other = toy(otherBtf, 'other_ops');
    t.kernel.registerStructOps(other.def);
    const object = t.kernel.btfs.values().find((btf) => btf.view === otherBtf)!;
    const fd = t.kernel.bpf(
      'MAP_CREATE',
      t.mapAttr({
        value_type_btf_obj_fd: t.kernel.bpf('BTF_GET_FD_BY_ID', { btf_id: object.id }),
        btf_vmlinux_value_type_id: object.structOps[0]!.valueId,
        map_flags: t.mapAttr().map_flags! | (1 << 13),
      }),
    );
    expect(t.update(fd, {})).toBe(0);
    const a = ready('a');
    const link = t.link(a);
    expect(linkUpdate(link, fd)).toBe(-ERRNO.EINVAL);
    expect(replace(link, fd, fd)).toBe(-ERRNO.EPERM); // expected old before the type
  });
});

describe('detach and release', () => {
  test('detach is idempotent; the link lives on and hangs up', () => {
    const map = ready('m');
    const link = t.link(map);
    let woken = 0;
    const object = t.kernel.fds.link(link);
    (object as StructOpsLink).onHangup(() => woken++);
    expect(t.kernel.bpf('LINK_DETACH', { link_fd: link })).toBe(0);
    expect(t.kernel.bpf('LINK_DETACH', { link_fd: link })).toBe(0);
    expect(t.toy.events.filter(([event]) => event === 'unreg')).toEqual([['unreg', 'm', 'link']]);
    expect([t.kernel.poll(link), mapIdOf(link), t.state(map).refcnt, woken]).toEqual([POLLHUP, 0, 0, 1]);
    t.kernel.close(link);
    expect(t.toy.events.filter(([event]) => event === 'unreg')).toHaveLength(1);
  });

  test('closing the last fd unregisters; a dup and a pin keep it', () => {
    const map = ready('m');
    const link = t.link(map);
    const copy = t.kernel.dup(link);
    expect(t.kernel.bpf('OBJ_PIN', { bpf_fd: link, pathname: 'l' })).toBe(0);
    t.kernel.close(link);
    t.kernel.close(copy);
    expect(t.toy.registered).toHaveLength(1);
    expect(t.kernel.unlink('l')).toBe(0);
    expect(t.toy.registered).toEqual([]);
    expect(t.kernel.links.size).toBe(0);
  });

  test('unreg after an update gets the map that is in the link now', () => {
    const [a, b] = [ready('a'), ready('b')];
    const link = t.link(a);
    linkUpdate(link, b);
    t.kernel.close(link);
    expect(t.toy.events.at(-1)).toEqual(['unreg', 'b', 'link']);
  });

  test('a link keeps its map when all fds of the map are closed', () => {
    const map = ready('m');
    const link = t.link(map);
    t.kernel.close(map);
    expect(t.kernel.maps.size).toBe(1);
    t.kernel.close(link);
    expect(t.kernel.maps.size).toBe(0);
  });

  test('a callback that changes a link would deadlock the kernel, and says so', () => {
    const link = t.link(ready('a'));
    t.toy.def.reg = () => t.kernel.bpf('LINK_DETACH', { link_fd: link });
    expect(() => t.link(ready('b'))).toThrow('the kernel would deadlock');
    expect(t.kernel.links.size).toBe(1);
  });
});
