test_entry_check_SRCS := ../../src/entry_rules.c ../../src/vmx_rules.c ../../src/svm_rules.c
