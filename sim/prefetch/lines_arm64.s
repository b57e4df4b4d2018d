#include "textflag.h"

// func lines(p unsafe.Pointer, size uintptr)
TEXT ·lines(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD size+8(FP), R1
	ADD  R0, R1, R1
	BIC  $63, R0, R0

line:
	CMP  R1, R0
	BHS  done
	PRFM (R0), PLDL2KEEP
	ADD  $64, R0, R0
	B    line

done:
	RET
