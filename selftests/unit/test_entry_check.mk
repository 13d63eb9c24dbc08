test_entry_check_SRCS := ../../src/cpu/entry_rules.c ../../src/vmx/vmx_rules.c ../../src/svm/svm_rules.c
