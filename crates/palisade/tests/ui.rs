//! What the compiler says of a stack in the wrong order.

#[test]
fn a_stack_in_the_wrong_order_does_not_compile_and_says_why() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/right_order.rs");
    cases.compile_fail("tests/ui/wrong_*.rs");
}
