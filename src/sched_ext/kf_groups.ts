/** enum scx_kf_mask, before 7.0: groups of kfuncs that ops allow when they are called. */
export const KF = { UNLOCKED: 0, CPU_RELEASE: 1, DISPATCH: 2, ENQUEUE: 4, SELECT_CPU: 8, REST: 16 } as const;
/** __SCX_KF_RQ_LOCKED */
export const KF_RQ_LOCKED = 0x1f;
