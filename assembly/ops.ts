// Handler numbers of the interpreter: slot operations, dense from 0 so that the dispatch is one br_table. From BASE_COUNT on
// come those of fused groups (fused.ts), which also have those of operations that the loop leaves to slow() at once.
// At most 256 (a slot's op is one byte). Portable file: untyped constants only.

// 64-bit ALU. SUB_K is ADD_K of the negated immediate; MOV_K also stands for LD_IMM64 and MOV32_K.
export const H_NOP = 0;
export const H_ADD_K = 1;
export const H_ADD_X = 2;
export const H_SUB_X = 3;
export const H_MUL_K = 4;
export const H_MUL_X = 5;
export const H_OR_K = 6;
export const H_OR_X = 7;
export const H_AND_K = 8;
export const H_AND_X = 9;
export const H_LSH_K = 10;
export const H_LSH_X = 11;
export const H_RSH_K = 12;
export const H_RSH_X = 13;
export const H_ARSH_K = 14;
export const H_ARSH_X = 15;
export const H_XOR_K = 16;
export const H_XOR_X = 17;
export const H_NEG = 18;
export const H_MOV_K = 19;
export const H_MOV_X = 20;
export const H_MOVSX8 = 21;
export const H_MOVSX16 = 22;
export const H_MOVSX32 = 23;

// Division by the operand at SLOT_OPERAND: a register or the immediate.
export const H_DIV = 24;
export const H_SDIV = 25;
export const H_MOD = 26;
export const H_SMOD = 27;
export const H_DIV32 = 28;
export const H_SDIV32 = 29;
export const H_MOD32 = 30;
export const H_SMOD32 = 31;

// 32-bit ALU; results are zero-extended.
export const H_ADD32_K = 32;
export const H_ADD32_X = 33;
export const H_SUB32_X = 34;
export const H_MUL32_K = 35;
export const H_MUL32_X = 36;
export const H_OR32_K = 37;
export const H_OR32_X = 38;
export const H_AND32_K = 39;
export const H_AND32_X = 40;
export const H_LSH32_K = 41;
export const H_LSH32_X = 42;
export const H_RSH32_K = 43;
export const H_RSH32_X = 44;
export const H_ARSH32_K = 45;
export const H_ARSH32_X = 46;
export const H_XOR32_K = 47;
export const H_XOR32_X = 48;
export const H_NEG32 = 49;
export const H_MOV32_X = 50;
export const H_MOVSX32_8 = 51;
export const H_MOVSX32_16 = 52;

// Byte order. le32 is MOV32_X, le64 NOP.
export const H_ZEXT16 = 53;
export const H_BSWAP16 = 54;
export const H_BSWAP32 = 55;
export const H_BSWAP64 = 56;

// Loads.
export const H_LDX_B = 57;
export const H_LDX_H = 58;
export const H_LDX_W = 59;
export const H_LDX_DW = 60;
export const H_LDX_SB = 61;
export const H_LDX_SH = 62;
export const H_LDX_SW = 63;

// Stores of a register and of an immediate (SLOT_OFF).
export const H_STX_B = 64;
export const H_STX_H = 65;
export const H_STX_W = 66;
export const H_STX_DW = 67;
export const H_ST_B = 68;
export const H_ST_H = 69;
export const H_ST_W = 70;
export const H_ST_DW = 71;

// Of the frame, statically inside it: relative to r10, never checked.
export const H_LDF_B = 72;
export const H_LDF_H = 73;
export const H_LDF_W = 74;
export const H_LDF_DW = 75;
export const H_STXF_B = 76;
export const H_STXF_H = 77;
export const H_STXF_W = 78;
export const H_STXF_DW = 79;
export const H_STF_B = 80;
export const H_STF_H = 81;
export const H_STF_W = 82;
export const H_STF_DW = 83;

// Jumps, 64-bit.
export const H_JEQ_K = 84;
export const H_JNE_K = 85;
export const H_JGT_K = 86;
export const H_JGE_K = 87;
export const H_JLT_K = 88;
export const H_JLE_K = 89;
export const H_JSGT_K = 90;
export const H_JSGE_K = 91;
export const H_JSLT_K = 92;
export const H_JSLE_K = 93;
export const H_JSET_K = 94;
export const H_JEQ_X = 95;
export const H_JNE_X = 96;
export const H_JGT_X = 97;
export const H_JGE_X = 98;
export const H_JLT_X = 99;
export const H_JLE_X = 100;
export const H_JSGT_X = 101;
export const H_JSGE_X = 102;
export const H_JSLT_X = 103;
export const H_JSLE_X = 104;
export const H_JSET_X = 105;

// Jumps, 32-bit.
export const H_JEQ32_K = 106;
export const H_JNE32_K = 107;
export const H_JGT32_K = 108;
export const H_JGE32_K = 109;
export const H_JLT32_K = 110;
export const H_JLE32_K = 111;
export const H_JSGT32_K = 112;
export const H_JSGE32_K = 113;
export const H_JSLT32_K = 114;
export const H_JSLE32_K = 115;
export const H_JSET32_K = 116;
export const H_JEQ32_X = 117;
export const H_JNE32_X = 118;
export const H_JGT32_X = 119;
export const H_JGE32_X = 120;
export const H_JLT32_X = 121;
export const H_JLE32_X = 122;
export const H_JSGT32_X = 123;
export const H_JSGE32_X = 124;
export const H_JSLT32_X = 125;
export const H_JSLE32_X = 126;
export const H_JSET32_X = 127;

// Control.
export const H_JA = 128;
export const H_MAY_GOTO = 129;
export const H_CALL = 130;
export const H_CALL_CORE = 131;
export const H_CALL_HOST = 132;
export const H_CALL_MISSING = 133;
export const H_CALLX = 134;
export const H_EXIT = 135;

// Slots outside any program that a frame returns to.
export const H_RETURN = 136;
export const H_LOOP_NEXT = 137;
export const H_FOR_EACH_NEXT = 138;
export const H_TAIL_RETURN = 139;
export const H_SLOW = 140;

// The rest.
export const H_ATOMIC = 141;
export const H_CAST_KERN = 142;
export const H_CAST_USER = 143;
// An insn that the kernel would refuse if it could be reached.
export const H_ILLEGAL = 144;

export const BASE_COUNT = 145;
