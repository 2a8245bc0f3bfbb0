// A hook file: the kernel gets bpf_testmod, the module of its selftests (tools/testing/selftests/bpf/test_kmods, 7.3), as far as
// the chosen programs want it. Its struct_ops types and kfuncs do what the module's do. TESTMOD names the object of testmod.c, OBJECTS
// the folder of the tests' objects, for tests that load two.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BTF_KIND, ERRNO, ErrnoError, moduleBtf, parseObject, UnsupportedError } from 'vmtable';

/** What the tests' user space does before load, by the name of a struct_ops map (tools/testing/selftests/bpf/prog_tests). */
const USER_SPACE = {
  // test_struct_ops_module.c
  testmod_zeroed: (map) => map.setProgram('zeroed_op', null),
  ops: (map, object) => {
    const forgotten = object.programs.find(({ name }) => name === 'test_1_forgotten');
    if (forgotten) map.setProgram('test_1', forgotten);
  },
  // struct_ops_autocreate.c
  testmod_2: (map, object) => {
    if (object.name.startsWith('struct_ops_autocreate')) map.autocreate = false;
  },
};

/** Vtables that no test attaches: one lacks what it needs, one's program is the verifier's to refuse, one shows that it loads. */
const NEVER_ATTACHED = new Set(['dctcp_nouse', 'untrusted_btf_write']);

export function beforeLoad(object, kernel) {
  for (const map of object.structOps) {
    USER_SPACE[map.name]?.(map, object);
    if (NEVER_ATTACHED.has(map.name)) map.autoattach = false;
  }
  const { btf } = parseObject(new Uint8Array(readFileSync(process.env.TESTMOD)), { name: 'testmod' });
  new Testmod(kernel, moduleBtf(kernel.profile.btf, btf));
  // test_struct_ops_arena.c: these programs go around one of another object.
  if (object.name.startsWith('struct_ops_arena_attach')) attachTo(object, kernel, 'struct_ops_arena', 'test_arena_cb');
}

function attachTo(object, kernel, name, program) {
  const bytes = readFileSync(join(process.env.OBJECTS, `${name}.bpf.o`));
  // Of the object's own build: the judge does not run the bundle that `vmtable` is.
  const target = new object.constructor(parseObject(new Uint8Array(bytes), { name })).load(kernel);
  for (const around of object.programs) around.setAttachTarget(target.program(program), program);
}

const TRAMPOLINES = Array.from({ length: 40 }, (_, i) => `tramp_${i + 1}`);

class Testmod {
  /** The registered bpf_testmod_ops3. */
  #ops3 = null;
  #stOps = null;
  /** bpf_testmod_multi_st_ops by id. */
  #multi = new Map();

  constructor(kernel, btf) {
    this.kernel = kernel;
    this.btf = btf;
    kernel.addModule('bpf_testmod', btf);
    this.#refKfuncs();
    this.#kfuncs();
    this.#structOps();
  }

  /** One prog_test_ref_kfunc, static in the module, whose references are counted. */
  #refKfuncs() {
    const { kernel } = this;
    const type = kernel.types.tryStruct('prog_test_ref_kfunc');
    if (!type) return;
    const ptr = kernel.newObject(type, { name: 'prog_test_struct', modelled: ['a', 'b', 'memb', 'next', 'cnt'] });
    const count = type.field('cnt.refs.counter');
    type.field('a').set(ptr, 42);
    type.field('b').set(ptr, 108);
    count.set(ptr, 1);
    type.field('next').set(ptr, ptr);
    const release = () => count.set(ptr, count.get(ptr) - 1);
    kernel.dtors.register('prog_test_ref_kfunc', release);
    kernel.dtors.register('prog_test_member', () => {});
    this.#register('bpf_kfunc_call_test_acquire', (call) => {
      count.set(ptr, count.get(ptr) + 1);
      kernel.held.acquire(call, 'reference', ptr, 'prog_test_struct', release);
      call.retPtr(ptr);
    });
    this.#register('bpf_kfunc_call_test_release', (call) => {
      kernel.held.release('reference', call.ptr(0));
      release();
    });
    this.#register('bpf_kfunc_call_memb_release', () => {});
    this.#register('bpf_kfunc_call_test_ref', () => {});
  }

  #register(name, fn) {
    if (this.btf.find(name, BTF_KIND.FUNC) !== 0) this.kernel.registerKfunc(name, fn);
  }

  #kfuncs() {
    const { kernel } = this;
    const nothing = [
      ...['bpf_testmod_test_mod_kfunc', 'bpf_kfunc_common_test', 'bpf_kfunc_call_test_sleepable'],
      ...['bpf_kfunc_trusted_vma_test', 'bpf_kfunc_trusted_task_test', 'bpf_kfunc_trusted_num_test'],
      'bpf_kfunc_rcu_task_test',
    ];
    for (const name of nothing) this.#register(name, () => {});
    for (const name of ['bpf_kfunc_ret_rcu_test', 'bpf_kfunc_ret_rcu_test_nostruct'])
      this.#register(name, (call) => call.retPtr(0));

    // struct bpf_iter_testmod_seq { s64 value; int cnt; }
    this.#register('bpf_iter_testmod_seq_new', (call) => {
      const it = call.mem(0, 16, true);
      const count = call.s32(2);
      call.memory.setU32(it + 8, count >>> 0);
      if (count >= 0) call.memory.setU64(it, call.u64(1));
      call.ret(count < 0 ? -ERRNO.EINVAL : 0);
    });
    this.#register('bpf_iter_testmod_seq_next', (call) => {
      const it = call.mem(0, 16, true);
      const count = call.memory.s32(it + 8);
      if (count > 0) call.memory.setU32(it + 8, count - 1);
      call.retPtr(count > 0 ? it : 0);
    });
    this.#register('bpf_iter_testmod_seq_value', (call) => {
      const it = call.mem(1, 16, false);
      call.retU64(call.memory.s32(it + 8) < 0 ? 0n : BigInt(call.s32(0)) + call.memory.u64(it));
    });
    this.#register('bpf_iter_testmod_seq_destroy', (call) => call.memory.setU32(call.mem(0, 16, true) + 8, 0));

    this.#arenaKfuncs();
    for (const member of ['test_1', 'test_2'])
      this.#register(`bpf_testmod_ops3_call_${member}`, () => this.#ops3?.ops[member]?.());

    this.#register('bpf_kfunc_multi_st_ops_test_1', (call) => {
      const ops = this.#multi.get(call.s32(1));
      call.ret(ops ? ops.ops.test_1({ ptr: call.ptr(0) }) : -1);
    });
    this.#register('bpf_kfunc_multi_st_ops_test_1_assoc', (call) => {
      const ops = kernel.structOps.assocOf(call);
      call.ret(ops ? ops.ops.test_1({ ptr: call.ptr(0) }) : -1);
    });
  }

  /** Those with pointers into the arena of the calling program. */
  #arenaKfuncs() {
    const value = (call, i) => call.memory.u64(call.access(call.arena(i).ptr, 8, false));
    const nullable = (call, i) => (call.arena(i).ptr === 0 ? 0n : value(call, i));
    this.#register('bpf_kfunc_arena_arg_test', (call) => {
      const { ptr } = call.arena(0);
      const old = value(call, 0);
      call.memory.setU64(call.access(ptr, 8, true), BigInt.asUintN(64, old + 1n));
      call.retU64(old);
    });
    // The address that the kernel sees: kern_vm_start, which is no address here, and the low half of the user's.
    const KERN_VM_START = 0xffffc90000000000n;
    const low = (call) => call.arena(0).user & 0xffffffffn;
    this.#register('bpf_kfunc_arena_cap_test', (call) => call.retU64(KERN_VM_START + low(call)));
    this.#register('bpf_kfunc_arena_cap_nullable_test', (call) =>
      call.retU64(low(call) === 0n ? 0n : KERN_VM_START + low(call)),
    );
    this.#register('bpf_kfunc_arena_args5_test', (call) =>
      call.retU64([0, 1, 2, 3].reduce((sum, i) => sum + value(call, i), nullable(call, 4))),
    );
    this.#register('bpf_kfunc_arena_mixed_test', (call) => call.retU64(value(call, 0) + nullable(call, 1)));

    const callOp = (member, args = (ptr) => [ptr]) =>
      this.#register(`bpf_testmod_ops3_call_${member}`, (call) => {
        const op = this.#ops3?.ops[member];
        if (!op) call.fail(new UnsupportedError(`bpf_testmod_ops3.${member}: nothing is attached`));
        call.ret(op(...args(call.arena(0).ptr)));
      });
    callOp('test_arena');
    callOp('test_arena_nullable');
    callOp('test_arena_stack', (ptr) => [1, 2, 3, 4, 5, 6, 7, 8, ptr]);
    // struct bpf_testmod_arena_pair { u64 a, b; }
    const pair = this.kernel.alloc(16, 'struct bpf_testmod_arena_pair');
    this.kernel.memory.setU64(pair, 11n);
    this.kernel.memory.setU64(pair + 8, 22n);
    callOp('test_arena_multislot', (ptr) => [pair, ptr]);
  }

  #structOps() {
    const ref = (...args) => ({ args: Object.fromEntries(args.map((arg) => [arg, 'ref'])) });
    this.#type('bpf_testmod_ops', {
      stubs: {
        ...{ test_1: {}, test_2: {}, test_maybe_null: { args: { 1: 'nullable' } } },
        ...{ test_refcounted: ref(1), test_refcounted_multi: ref(2), test_return_ref_kptr: ref(1) },
        ...Object.fromEntries(TRAMPOLINES.map((name) => [name, {}])),
      },
      init_member: (member, kdata, udata) => {
        if (member !== 'data') return 0;
        kdata.set(member, udata.get(member));
        return 1;
      },
      reg: (kdata) => {
        kdata.ops.test_1?.();
        kdata.ops.test_2?.(4, kdata.get('data'));
        return 0;
      },
    });
    this.#type('bpf_testmod_ops2', {
      stubs: { test_1: {} },
      reg: (kdata) => {
        kdata.ops.test_1();
        return 0;
      },
    });
    const arena = { args: { 0: 'arena' } };
    this.#type('bpf_testmod_ops3', {
      stubs: {
        ...{ test_1: {}, test_2: {}, test_arena: arena, test_arena_nullable: { args: { 0: 'arena_nullable' } } },
        test_arena_stack: { args: { 8: 'arena' } },
        test_arena_multislot: { args: { 1: 'arena' } },
      },
      check_member: (member, prog) => {
        if (member !== 'test_1') return 0;
        prog.aux.priv_stack_requested = true;
        prog.aux.recursion_detected = () => this.kernel.printk('bpf_testmod: oh no, recursing into test_1');
        return 0;
      },
      reg: (kdata) => {
        if (this.#ops3) return -ERRNO.EEXIST;
        this.#ops3 = kdata;
        return 0;
      },
      unreg: () => {
        this.#ops3 = null;
      },
    });
    this.#type('bpf_testmod_st_ops', {
      stubs: { test_prologue: {}, test_epilogue: {}, test_pro_epilogue: {} },
      reg: (kdata) => {
        if (this.#stOps) return -ERRNO.EEXIST;
        this.#stOps = kdata;
        return 0;
      },
      unreg: () => {
        this.#stOps = null;
      },
    });
    this.#type('bpf_testmod_multi_st_ops', {
      stubs: { test_1: {} },
      reg: (kdata) => {
        if (!kdata.ops.test_1) return -ERRNO.EINVAL;
        if (this.#multi.has(kdata.mapId)) return -ERRNO.EEXIST;
        kdata.set('id', kdata.mapId);
        this.#multi.set(kdata.mapId, kdata);
        return 0;
      },
      unreg: (kdata) => {
        this.#multi.delete(kdata.mapId);
      },
    });
  }

  #type(name, def) {
    const id = this.btf.find(name, BTF_KIND.STRUCT);
    if (id === 0) return;
    const members = new Set(this.btf.type(id).members.map((member) => member.name));
    const stubs = Object.fromEntries(Object.entries(def.stubs).filter(([member]) => members.has(member)));
    try {
      this.kernel.registerStructOps({
        ...{ init_member: () => 0, unreg: () => {}, ...def, stubs, name, btf: this.btf },
      });
    } catch (error) {
      if (!(error instanceof ErrnoError || error instanceof UnsupportedError)) throw error;
      this.kernel.printk(error.message);
    }
  }
}
