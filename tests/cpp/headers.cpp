// A source for the target that compiles the headers of the tests.
