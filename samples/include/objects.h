/* SPDX-License-Identifier: MIT */
/* Objects that programs allocate, and what maps and global data may hold of them: kptrs, lists and red-black trees. */
#ifndef SAMPLES_OBJECTS_H
#define SAMPLES_OBJECTS_H

#include "bpf.h"

/* A pointer in a map value that owns what it points to. */
#define __kptr __attribute__((btf_type_tag("kptr")))
/* What a head or root holds: structs of this type, linked by this member. */
#define __contains(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))
#define container_of(ptr, type, member) ((type *)((void *)(ptr) - __builtin_offsetof(type, member)))

static void *(*const bpf_kptr_xchg)(void *slot, void *ptr) = (void *)BPF_FUNC_kptr_xchg;
static void (*const bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)BPF_FUNC_spin_lock;
static void (*const bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)BPF_FUNC_spin_unlock;

/* The verifier fills in the last arguments. */
#define bpf_obj_new(type) ((type *)bpf_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), NULL))
#define bpf_obj_drop(ptr) bpf_obj_drop_impl(ptr, NULL)
#define bpf_refcount_acquire(ptr) bpf_refcount_acquire_impl(ptr, NULL)
#define bpf_list_push_front(head, node) bpf_list_push_front_impl(head, node, NULL, 0)
#define bpf_list_push_back(head, node) bpf_list_push_back_impl(head, node, NULL, 0)
#define bpf_rbtree_add(root, node, less) bpf_rbtree_add_impl(root, node, less, NULL, 0)

#endif
