// A hook file: what the user-space halves of selftests/sched_ext set before load, where a test is about that (7.3).
const BUILTIN_IDLE_PER_NODE = 1 << 6;
const PICK_IDLE_IN_NODE = 1 << 1;

/** By the name of the ops. */
const USER_SPACE = {
  // numa.c
  numa: (map, object) => {
    map.set('flags', BUILTIN_IDLE_PER_NODE);
    object.variable('__COMPAT_SCX_PICK_IDLE_IN_NODE').set(PICK_IDLE_IN_NODE);
  },
};

export function beforeLoad(object) {
  for (const map of object.structOps)
    USER_SPACE[map.structName.startsWith('sched_ext_ops') && map.get('name')]?.(map, object);
}
