// Programs in DPDK's librte_bpf, interpreted or, with -j first, compiled: for each NAME FILE (raw insns, r1 memory, r0 the
// result) a line "NAME NS RESULT", or "NAME ! WHY".
#include <errno.h>
#include <rte_bpf.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#ifndef MEMORY_BYTES
#define MEMORY_BYTES 16384
#endif
#ifndef FILL
#define FILL (unsigned char)(i * 7 + (i >> 8))
#endif

static unsigned char mem[MEMORY_BYTES] __attribute__((aligned(64)));
static struct ebpf_insn insns[65536];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int jit = argc > 1 && !strcmp(argv[1], "-j");

	rte_log_set_global_level(RTE_LOG_ERR);
	rte_openlog_stream(stdout);
	for (int k = 1 + jit; k + 1 < argc; k += 2) {
		FILE *file = fopen(argv[k + 1], "rb");
		struct rte_bpf_prm prm = {
			.ins = insns,
			.nb_ins = file ? fread(insns, sizeof(*insns), 65536, file) : 0,
			.prog_arg = { .type = RTE_BPF_ARG_PTR, .size = MEMORY_BYTES },
		};
		struct rte_bpf_jit code = { 0 };
		struct rte_bpf *bpf;
		double best = 1e18;
		uint64_t n = 1, result;

		if (file)
			fclose(file);
		for (uint32_t i = 0; i < MEMORY_BYTES; i++)
			mem[i] = FILL;
		bpf = rte_bpf_load(&prm);
		if (!bpf) {
			printf("%s ! load: %s\n", argv[k], strerror(rte_errno));
			continue;
		}
		if (jit && (rte_bpf_get_jit(bpf, &code) || !code.func)) {
			printf("%s ! not compiled\n", argv[k]);
			rte_bpf_destroy(bpf);
			continue;
		}
		result = jit ? code.func(mem) : rte_bpf_exec(bpf, mem);
		for (int sample = 0; sample < 20;) {
			double start = now(), ns;

			for (uint64_t i = 0; i < n; i++) {
				if (jit)
					code.func(mem);
				else
					rte_bpf_exec(bpf, mem);
			}
			ns = now() - start;
			if (ns < 3e5) {
				n *= 2;
				continue;
			}
			if (ns / n < best)
				best = ns / n;
			sample++;
		}
		printf("%s %.4f %llu\n", argv[k], best, (unsigned long long)result);
		rte_bpf_destroy(bpf);
	}
	return 0;
}
