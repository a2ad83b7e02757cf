// The Markdown of the server's page: what becomes what, in parts as at once, and whatever comes.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { formula } from "../../../src/server/page/formula.js";
import { MarkdownStream, parse } from "../../../src/server/page/markdown.js";

const escaped = (text) => text.replace(/[&<>"]/g, (char) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[char]);

/** Nodes as HTML, for reading; what only looks or behaves is left out. */
function html(nodes) {
  return nodes.map((node) => {
    if (typeof node === "string") return escaped(node);
    const { tag, attributes, children } = node;
    if (attributes.class === "code") return codeHtml(node);
    if (attributes.class === "table-box") return html(children);
    const told = Object.entries(attributes).filter(([name]) => ["class", "href", "start"].includes(name));
    const opening = [tag, ...told.map(([name, value]) => `${name}="${escaped(value)}"`)].join(" ");
    return ["br", "hr"].includes(tag) ? `<${opening}>` : `<${opening}>${html(children)}</${tag}>`;
  }).join("");
}

function codeHtml({ children: [head, block] }) {
  const language = head.children[0].children.join("");
  return `<pre${language ? ` lang="${language}"` : ""}>${escaped(block.children[0].children.join(""))}</pre>`;
}

/** Checks pairs of Markdown and HTML. */
function check(pairs) {
  for (const [markdown, expected] of pairs) assert.equal(html(parse(markdown)), expected, JSON.stringify(markdown));
}

describe("within a paragraph", () => {
  test("emphasis", () => check([
    ["*a* _b_ **c** __d__ ***e*** ~~f~~", "<p><em>a</em> <em>b</em> <strong>c</strong> <strong>d</strong> <em><strong>e</strong></em> <del>f</del></p>"],
    ["**a *b* c**", "<p><strong>a <em>b</em> c</strong></p>"],
    ["snake_case_name 2*3*4 a * b ~5 ** c", "<p>snake_case_name 2<em>3</em>4 a * b ~5 ** c</p>"],
    ["**open *and _more", "<p>**open *and _more</p>"],
    ["*a **b*", "<p>*a *<em>b</em></p>"],
    ["a**b**c", "<p>a<strong>b</strong>c</p>"],
    ["**重要：**说明**「引」**了", "<p><strong>重要：</strong>说明<strong>「引」</strong>了</p>"],
    ["😀*a*😀", "<p>😀<em>a</em>😀</p>"],
  ]));

  test("code", () => check([
    ["`a` ``b ` c`` `` ` ``", "<p><code>a</code> <code>b ` c</code> <code>`</code></p>"],
    ["`open *a*", "<p>`open <em>a</em></p>"],
    ["`<b>` `*a*` `\\`", "<p><code>&lt;b&gt;</code> <code>*a*</code> <code>\\</code></p>"],
  ]));

  test("links lead to sites and nowhere else", () => check([
    ["[a *b*](https://x.org/p_(q))", '<p><a href="https://x.org/p_(q)">a <em>b</em></a></p>'],
    ['[a](<http://x.org> "title")', '<p><a href="http://x.org">a</a></p>'],
    ["[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>"],
    ["[a](JaVaScRiPt:alert(1)) [b](data:text/html,x) [c](//x.org) [d](/x)", "<p>[a](JaVaScRiPt:alert(1)) [b](data:text/html,x) [c](//x.org) [d](/x)</p>"],
    ["<https://x.org> <javascript:x>", '<p><a href="https://x.org">https://x.org</a> &lt;javascript:x&gt;</p>'],
    ["See https://x.org/a_b_c. (https://y.org/z_(q)) xhttps://z.org", '<p>See <a href="https://x.org/a_b_c">https://x.org/a_b_c</a>. (<a href="https://y.org/z_(q)">https://y.org/z_(q)</a>) xhttps://z.org</p>'],
    ["![picture](https://x.org/a.png) ![p](data:x)", '<p><a href="https://x.org/a.png">picture</a> ![p](data:x)</p>'],
    ["[![badge](https://x.org/a.svg)](https://y.org)", '<p><a href="https://y.org">badge</a></p>'],
    ["[a [b](https://x.org) c](https://y.org)", '<p>[a <a href="https://x.org">b</a> c](<a href="https://y.org">https://y.org</a>)</p>'],
    ["[a [b] c](https://x.org) [d]", '<p><a href="https://x.org">a [b] c</a> [d]</p>'],
    ["*a [b* c](https://x.org)", '<p>*a <a href="https://x.org">b* c</a></p>'],
  ]));

  test("HTML is text, but for the end of a line", () => check([
    ["<b>x</b> <img src=x onerror=alert(1)>", "<p>&lt;b&gt;x&lt;/b&gt; &lt;img src=x onerror=alert(1)&gt;</p>"],
    ["a<br>b<br />c\nd\\\ne", "<p>a<br>b<br>c<br>d<br>e</p>"],
    ["&lt;b&gt; &amp; &#60; &#x3c; &#0; &nope; &", "<p>&lt;b&gt; &amp; &lt; &lt; &amp;#0; &amp;nope; &amp;</p>"],
    ["\\*a\\* \\<b> \\a", "<p>*a* &lt;b&gt; \\a</p>"],
  ]));

  test("formulas", () => check([
    ["\\(a_1 \\odd b*\\) and \\[\\odd\\] and $y_1 _2$", '<p><span class="math">a_1 \\odd b*</span> and <span class="math block">\\odd</span> and <span class="math">y_1 _2</span></p>'],
    ["$5 and $6, US$7", "<p>$5 and $6, US$7</p>"],
    ["$$\na_1\n$$", '<div class="math block"><math><msub><mi>a</mi><mn>1</mn></msub></math></div>'],
    ["\\[\na#\n\\]\nb", '<div class="math block">a#</div><p>b</p>'],
    ["\\[ a#", '<div class="math block">a#</div>'],
    ["$$\n\na", "<p>$$</p><p>a</p>"],
  ]));
});

describe("blocks", () => {
  test("paragraphs, headings and rules", () => check([
    ["a\nb\n\nc", "<p>a<br>b</p><p>c</p>"],
    ["# a\n###### b ##\n####### c\n#d", "<h3>a</h3><h6>b</h6><p>####### c<br>#d</p>"],
    ["a\n===\nb\n---\nc\n-\n--", "<h3>a</h3><h4>b</h4><p>c<br>-<br>--</p>"],
    ["a\n***\n- - -\n___", "<p>a</p><hr><hr><hr>"],
    ["", ""],
    ["\n \n", ""],
  ]));

  test("code", () => check([
    ["```js\na\n\n  *b*\n```\nc", '<pre lang="js">a\n\n  *b*</pre><p>c</p>'],
    ["~~~\n```\n~~~", "<pre>```</pre>"],
    ["````\n```\n````", "<pre>```</pre>"],
    ["```\nopen\n", "<pre>open\n</pre>"],
    ["a\n```py x=1\nb\n```", '<p>a</p><pre lang="py">b</pre>'],
    ["    a\n\n      b\n\nc", "<pre>a\n\n  b</pre><p>c</p>"],
    ["  ```\n  a\n    b\n  ```", "<pre>a\n  b</pre>"],
  ]));

  test("quotes", () => check([
    ["> a\n> b\nlazy\n\nc", "<blockquote><p>a<br>b<br>lazy</p></blockquote><p>c</p>"],
    ["> ```\n> a\nb", "<blockquote><pre>a</pre></blockquote><p>b</p>"],
    [">> a\n> # b", "<blockquote><blockquote><p>a</p></blockquote><h3>b</h3></blockquote>"],
  ]));

  test("lists", () => check([
    ["- a\n- b\n* c", "<ul><li>a</li><li>b</li></ul><ul><li>c</li></ul>"],
    ["3. a\n4. b\n1) c", '<ol start="3"><li>a</li><li>b</li></ol><ol start="1"><li>c</li></ol>'],
    ["- a\n\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"],
    ["- a\n  - b\n    - c\n- d", "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li><li>d</li></ul>"],
    ["1. a\n  - b\n2. c", '<ol start="1"><li>a<ul><li>b</li></ul></li><li>c</li></ol>'],
    ["1. a\n\n   ```\n   b\n   ```\n2. c", '<ol start="1"><li><p>a</p><pre>b</pre></li><li><p>c</p></li></ol>'],
    ["- a\nlazy\n\nb", "<ul><li>a<br>lazy</li></ul><p>b</p>"],
    ["a\n- b\n2020. c", `<p>a</p><ul><li>b</li></ul><ol start="2020"><li>c</li></ol>`],
    ["a\n2. b\n1. c", '<p>a<br>2. b</p><ol start="1"><li>c</li></ol>'],
    ["- [ ] a\n- [x] **b**", "<ul><li>☐ a</li><li>☑ <strong>b</strong></li></ul>"],
    ["-\n- a", "<ul><li></li><li>a</li></ul>"],
    ["- a\n\n\n    b\n", "<ul><li><p>a</p><p>b</p></li></ul>"],
  ]));

  test("tables", () => check([
    ["| a | b |\n|---|:-:|\n| 1 | *2* |\n| 3 |\n\nc", '<table><thead><tr><th>a</th><th class="center">b</th></tr></thead><tbody><tr><td>1</td><td class="center"><em>2</em></td></tr><tr><td>3</td><td class="center"></td></tr></tbody></table><p>c</p>'],
    ["x\na | b\n--|--:\n`1\\|2` | 3 | 4", '<p>x</p><table><thead><tr><th>a</th><th class="right">b</th></tr></thead><tbody><tr><td><code>1|2</code></td><td class="right">3</td></tr></tbody></table>'],
    ["| a | b |\n|---|", "<p>| a | b |<br>|---|</p>"],
  ]));
});

/** Numbers between 0 and 1 that are the same in every run. */
function random(seed) {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

const PIECES = [
  "a", "b c", "\n", "\n", "\n\n", "\r\n", " ", "  ", "    ", "\t", "- ", "* ", "1. ", "2) ", "> ", "# ", "#", "---", "===", "```", "```js\n", "~~~", "`", "``",
  "*", "**", "_", "~~", "|", "|---|---|\n", "| a | b |", ":-:", "[", "]", "](https://x.org)", "![", "(", ")", "<br>", "<b>", "&lt;", "\\", "\\(", "\\)",
  "\\[", "\\]", "$", "$$", "\\(\\frac{a}{b}^2\\)", "$x_1$", "\\sqrt", "{", "}", "^", "https://x.org/", "重要", "：", "😀", "[x] ",
];

function someMarkdown(next) {
  return Array.from({ length: 1 + Math.floor(next() * 40) }, () => PIECES[Math.floor(next() * PIECES.length)]).join("");
}

/** A formula's MathML without attributes, or the text that it stayed. */
function mathml(text, block = false) {
  const plain = (node) => (typeof node === "string" ? node : node.children.length > 0 ? `<${node.tag}>${node.children.map(plain).join("")}</>` : `<${node.tag}>`);
  const read = formula(text, block);
  return typeof read === "string" ? read : read.children.map(plain).join("");
}

describe("formulas", () => {
  test("become MathML", () => {
    for (const [text, expected] of [
      ["x^10", "<msup><mi>x</><mn>1</></><mn>0</>"],
      ["x_{i+1}^2 - 3.5", "<msubsup><mi>x</><mrow><mi>i</><mo>+</><mn>1</></><mn>2</></><mo>−</><mn>3.5</>"],
      ["\\frac{1}{2}\\frac ab", "<mfrac><mn>1</><mn>2</></><mfrac><mi>a</><mi>b</></>"],
      ["\\sqrt[3]{x}\\sqrt2", "<mroot><mi>x</><mn>3</></><msqrt><mn>2</></>"],
      ["f''(x)", "<msup><mi>f</><mrow><mo>′</><mo>′</></></><mo>(</><mi>x</><mo>)</>"],
      ["\\boxed{42}", "<mrow><mn>42</></>"],
      ["\\text{if } x \\le \\alpha", "<mtext>if\u00a0</><mi>x</><mo>≤</><mi>α</>"],
      ["\\left( \\frac12 \\right.", "<mrow><mo>(</><mfrac><mn>1</><mn>2</></></>"],
      ["\\sum_{i=1}^n i", "<msubsup><mo>∑</><mrow><mi>i</><mo>=</><mn>1</></><mi>n</></><mi>i</>"],
      ["\\begin{pmatrix} a & b \\\\ c & d \\\\[2pt] \\end{pmatrix}", "<mrow><mo>(</><mtable><mtr><mtd><mi>a</></><mtd><mi>b</></></><mtr><mtd><mi>c</></><mtd><mi>d</></></></><mo>)</></>"],
      ["a &= b \\\\ &= c", "<mtable><mtr><mtd><mi>a</></><mtd><mo>=</><mi>b</></></><mtr><mtd><mtd><mo>=</><mi>c</></></></>"],
      ["\\mathbb{R} \\mathbf x \\vec v \\not\\in", "<mi>ℝ</><mi>𝐱</><mover><mi>v</><mo>→</></><mo>∈\u0338</>"],
      ["\\lim_{x \\to 0} \\sin x", "<munder><mi>lim</><mrow><mi>x</><mo>→</><mn>0</></></><mi>sin</><mi>x</>"],
    ]) assert.equal(mathml(text), expected, text);
    assert.match(mathml("\\sum_i x", true), /^<munder><mo>∑</);
  });

  test("stay as they were written where they are not known, or wrong", () => {
    for (const text of ["\\unknown{x}", "{x", "x}", "x^", "x^1^2", "\\frac{1}", "\\left(x", "\\begin{a}x\\end{a}", "\\begin{pmatrix}x", "\\", "a#b", "\\sqrt".repeat(200), "{".repeat(5000), "x".repeat(5000)]) {
      assert.equal(mathml(text), text);
    }
  });
});

test("in random parts as at once, after every part", () => {
  for (let seed = 0; seed < 2000; seed++) {
    const next = random(seed);
    const text = someMarkdown(next);
    const stream = new MarkdownStream();
    for (let at = 0; at < text.length; ) {
      const end = Math.min(text.length, at + 1 + Math.floor(next() * 6));
      stream.push(text.slice(at, end));
      at = end;
      assert.deepEqual(stream.blocks(), parse(text.slice(0, at)), JSON.stringify(text.slice(0, at)));
    }
  }
});

test("a block that is whole stays the same object", () => {
  const stream = new MarkdownStream();
  stream.push("# a\n\n- b\n- c\n\nd\n\ne");
  const [heading, list] = stream.blocks();
  stream.push(" f\n\ng");
  const later = stream.blocks();
  assert.equal(later[0], heading);
  assert.equal(later[1], list);
  assert.equal(html(later), "<h3>a</h3><ul><li>b</li><li>c</li></ul><p>d</p><p>e f</p><p>g</p>");
});

/** How many elements are in each other at most. */
const depth = (nodes) => nodes.reduce((most, node) => Math.max(most, typeof node === "string" ? 0 : 1 + depth(node.children)), 0);

test("whatever comes takes little time and is not deep", () => {
  const many = 10_000;
  const evil = [
    "*", "**a ", "_a_ ", "*a _b ", "**a* ", "`", "` `` ", "[", "]", "[]", "[a](", "![", "[a](https://x.org ", '[a](b "', "![a](https://x.org)", "[](((", "<", "<https://", "&", "&#",
    "$", "$a\n", "$$", "$$\n", "\\[\n", "\\(", "\\(\\)", "\\", "> ", ">", "- ", "1. ", "> - ", "  - a\n", "- a\n\n", "#", "# a ", "# #", "    a\n", "```\n", "```a`", "~~~\n", "~~ ", "|", "|-", "|a|b\n|-|-\n",
    "-", "- -", "=", " ", "\t", "\n", "a\n", "> a\nb\n", "- a\nb\n", "https://", "https://a(", "*a **b ***c ", "[x] ", "😀*", "\u0000", "\ud800",
  ];
  for (const piece of evil) {
    for (const text of [piece.repeat(many), `# a${piece.repeat(many)}`, `> - a\n${piece.repeat(many)}b*`]) {
      const begun = performance.now();
      const nodes = parse(text);
      const took = performance.now() - begun;
      assert.ok(took < 3000, `${JSON.stringify(piece)}: ${took} ms`);
      assert.ok(depth(nodes) < 100, `${JSON.stringify(piece)}: ${depth(nodes)} deep`);
    }
  }
});

test("nothing but these elements and attributes, and links to sites only", () => {
  const tags = new Set();
  const visit = (nodes) => nodes.forEach((node) => {
    if (typeof node === "string") return;
    tags.add(node.tag);
    for (const [name, value] of Object.entries(node.attributes)) {
      assert.ok(/^(class|type|tabindex|start|scope|href|target|rel|display|stretchy|accent|linethickness|width)$/.test(name), name);
      if (name === "href") assert.match(value, /^https?:\/\/\S+$/i);
    }
    visit(node.children);
  });
  for (let seed = 0; seed < 2000; seed++) visit(parse(someMarkdown(random(seed ^ 0x5eed))));
  for (const tag of tags) assert.match(tag, /^(p|h[3-6]|hr|br|blockquote|ul|ol|li|div|span|pre|code|button|table|thead|tbody|tr|th|td|a|em|strong|del|math|m(?:row|i|n|o|text|space|frac|sqrt|root|sub|sup|subsup|under|over|underover|table|tr|td))$/);
  assert.ok(tags.size > 20, [...tags].join(" "));
});
