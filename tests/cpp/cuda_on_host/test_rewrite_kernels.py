"""What rewrite_kernels.py makes of launches and __shared__ variables, and what it refuses."""

import unittest

from rewrite_kernels import NotUnderstood, rewrite

SITE = "__FILE__, __LINE__}"


class Rewritten(unittest.TestCase):
    """Sources that it understands."""

    def check(self, before, after):
        self.assertEqual(rewrite(before), after)

    def test_launch(self):
        self.check(
            "k<float, (2 > 1)><<<n / 2, dim3(a, b)>>>(x, y);",
            f'::cuda_on_host::Launch({{"k<float, (2 > 1)>", {SITE}, '
            "k<float, (2 > 1)>, n / 2, dim3(a, b))(x, y);",
        )

    def test_nested_template_and_namespace(self):
        self.check(
            "a::k<B<C> ><<<1, 2>>>();",
            f'::cuda_on_host::Launch({{"a::k<B<C> >", {SITE}, a::k<B<C> >, 1, 2)();',
        )

    def test_template_arguments_may_follow_from_the_call(self):
        self.check(
            "k<<<1, 2, 3, s>>>(x);",
            f'::cuda_on_host::Launch({{"k", {SITE}, [=](auto... a) {{ k(a...); }}, 1, 2, 3, s)(x);',
        )

    def test_lines_and_comments_stay(self):
        before = "k<T>  // <<<no>>>\n    <<<1,  // ;\n 2>>>(\n x);\n/* <<< */ \"<<<\" '\"' 1'000\n"
        after = rewrite(before)
        self.assertEqual(before.count("\n"), after.count("\n"))
        self.assertIn("k<T>  // <<<no>>>\n    , 1,  // ;\n 2)(\n x);", after)
        self.assertTrue(after.endswith("/* <<< */ \"<<<\" '\"' 1'000\n"))

    def test_macro(self):
        before = "#define L(name) \\\n  name##_k<float> \\\n <<<1, 1>>>( \\\n  x)\n"
        self.assertEqual(rewrite(before).count("\\\n"), 3)
        self.assertIn("name##_k<float> \\\n , 1, 1)( \\\n", rewrite(before))

    def test_shared(self):
        slot = "static ::cuda_on_host::SharedSlot"
        self.check("__shared__ float t[8][N + 1];", f'{slot} t_slot("t"); float (&t)[8][N + 1] = t_slot;')
        self.check("__shared__ unsigned int u;", f'{slot} u_slot("u"); unsigned int &u = u_slot;')
        self.check("static __shared__ A<B, 2> v[(3)];", f'{slot} v_slot("v"); A<B, 2> (&v)[(3)] = v_slot;')
        self.check("__shared__ volatile T\n w[2];", f'{slot} w_slot("w"); volatile T (&w)[2] = w_slot; \n')

    def test_dynamic_shared(self):
        for attribute in ("", "__align__(16) ", "alignas(double) "):
            self.check(
                f"extern __shared__ {attribute}unsigned char raw[];",
                "unsigned char* const raw = ::cuda_on_host::DynamicShared<unsigned char>();",
            )


class Refused(unittest.TestCase):
    """Sources that it must not pass on half-rewritten."""

    def check(self, text, at):
        with self.assertRaises(NotUnderstood) as caught:
            rewrite(text)
        self.assertEqual(text[caught.exception.position :].split("\n")[0], at)

    def test_launches(self):
        self.check("a;\n<<<1, 1>>>(x);", "<<<1, 1>>>(x);")
        self.check("k<<<1, 1;", "1, 1;")
        self.check("k<<<1, 1>>> x;", ">>> x;")
        self.check("k<<<1, 1>>>(x;", "x;")
        self.check("k><<<1, 1>>>(x);", "><<<1, 1>>>(x);")
        self.check("1 <<<1, 1>>>(x);", "<<<1, 1>>>(x);")

    def test_shared(self):
        for text in (
            "__shared__ float a[2], b[2];",
            "__shared__ float a, b;",
            "__shared__ float a = 1;",
            "__shared__ float a[];",
            "__shared__ a;",
            "__shared__ float a",
        ):
            self.check("x;\n" + text, text)
        self.check("extern __shared__ float a[4];", "__shared__ float a[4];")
        self.check("float __shared__ a[4];", "__shared__ a[4];")


if __name__ == "__main__":
    unittest.main()
