/** What TeX calls letters, signs and functions. */

const pairs = (text) => text.trim().split(/\s+/).map((pair) => pair.split(":"));

/** Names that are letters. */
export const LETTERS = new Map(pairs(`
  alpha:α beta:β gamma:γ delta:δ epsilon:ϵ varepsilon:ε zeta:ζ eta:η theta:θ vartheta:ϑ iota:ι kappa:κ lambda:λ mu:μ nu:ν xi:ξ
  omicron:ο pi:π varpi:ϖ rho:ρ varrho:ϱ sigma:σ varsigma:ς tau:τ upsilon:υ phi:ϕ varphi:φ chi:χ psi:ψ omega:ω Gamma:Γ Delta:Δ
  Theta:Θ Lambda:Λ Xi:Ξ Pi:Π Sigma:Σ Upsilon:Υ Phi:Φ Psi:Ψ Omega:Ω hbar:ℏ ell:ℓ Re:ℜ Im:ℑ aleph:ℵ infty:∞ partial:∂ nabla:∇
  emptyset:∅ varnothing:∅ imath:ı jmath:ȷ wp:℘ degree:° top:⊤ bot:⊥ angle:∠ triangle:△ square:□ Box:□ blacksquare:■ checkmark:✓
`));

/** Names that are signs. */
export const SIGNS = new Map(pairs(`
  times:× div:÷ cdot:⋅ pm:± mp:∓ ast:∗ star:⋆ circ:∘ bullet:∙ oplus:⊕ ominus:⊖ otimes:⊗ odot:⊙ wedge:∧ land:∧ vee:∨ lor:∨
  cap:∩ cup:∪ setminus:∖ neg:¬ lnot:¬ leq:≤ le:≤ leqslant:≤ geq:≥ ge:≥ geqslant:≥ neq:≠ ne:≠ approx:≈ equiv:≡ sim:∼ simeq:≃
  cong:≅ propto:∝ ll:≪ gg:≫ prec:≺ succ:≻ in:∈ notin:∉ ni:∋ subset:⊂ subseteq:⊆ supset:⊃ supseteq:⊇ subsetneq:⊊ mid:∣ nmid:∤
  parallel:∥ perp:⊥ to:→ rightarrow:→ longrightarrow:⟶ gets:← leftarrow:← longleftarrow:⟵ leftrightarrow:↔ Rightarrow:⇒ implies:⟹
  Longrightarrow:⟹ Leftarrow:⇐ impliedby:⟸ Leftrightarrow:⇔ iff:⟺ Longleftrightarrow:⟺ mapsto:↦ uparrow:↑ downarrow:↓ nearrow:↗
  searrow:↘ forall:∀ exists:∃ nexists:∄ therefore:∴ because:∵ ldots:… dots:… cdots:⋯ vdots:⋮ ddots:⋱ prime:′ lbrace:{ rbrace:}
  lbrack:[ rbrack:] langle:⟨ rangle:⟩ lfloor:⌊ rfloor:⌋ lceil:⌈ rceil:⌉ lvert:| rvert:| vert:| lVert:‖ rVert:‖ Vert:‖ backslash:∖
  models:⊨ vdash:⊢ colon:: coloneqq:≔ triangleq:≜ doteq:≐ asymp:≍ lt:< gt:> And:& int:∫ iint:∬ iiint:∭ oint:∮
`).map(([name, sign]) => [name, sign || ":"]));

/** Signs with what they range over below and above. */
export const LARGE = new Map(pairs("sum:∑ prod:∏ coprod:∐ bigcup:⋃ bigcap:⋂ bigvee:⋁ bigwedge:⋀ bigoplus:⨁ bigotimes:⨂"));

/** Functions, and those with a place below them. */
export const FUNCTIONS = new Set(
  "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh coth log ln lg exp dim ker deg arg hom mod bmod".split(" "),
);
export const LIMITS = new Set("lim max min sup inf limsup liminf det gcd Pr argmax argmin".split(" "));

/** Marks over and under what follows. */
export const OVER = new Map(pairs(`
  hat:^ widehat:^ bar:¯ overline:¯ vec:→ overrightarrow:→ dot:˙ ddot:¨ tilde:~ widetilde:~ check:ˇ overbrace:⏞
`));
export const UNDER = new Map(pairs("underline:_ underbrace:⏟"));

/** Spaces, in ems. */
export const SPACES = new Map([[",", 0.17], [":", 0.22], [";", 0.28], ["!", 0], [" ", 0.25], ["quad", 1], ["qquad", 2], [">", 0.22]]);

/** What stands around the matrices of these names. */
export const FENCES = new Map(Object.entries({
  matrix: ["", ""], smallmatrix: ["", ""], pmatrix: ["(", ")"], bmatrix: ["[", "]"], Bmatrix: ["{", "}"], vmatrix: ["|", "|"], Vmatrix: ["‖", "‖"],
  cases: ["{", ""], array: ["", ""], aligned: ["", ""], align: ["", ""], "align*": ["", ""], split: ["", ""], gathered: ["", ""], gather: ["", ""],
  "gather*": ["", ""], equation: ["", ""], "equation*": ["", ""], alignedat: ["", ""],
}));

const DOUBLE = new Map(pairs("C:ℂ H:ℍ N:ℕ P:ℙ Q:ℚ R:ℝ Z:ℤ"));
const SCRIPT = new Map(pairs("B:ℬ E:ℰ F:ℱ H:ℋ I:ℐ L:ℒ M:ℳ R:ℛ"));

/** A letter as an alphabet of TeX has it. */
export function lettered(alphabet, letter) {
  const at = letter.charCodeAt(0) - 65;
  const small = letter.charCodeAt(0) - 97;
  const capital = at >= 0 && at < 26;
  if (alphabet === "mathbb") return DOUBLE.get(letter) ?? (capital ? String.fromCodePoint(0x1d538 + at) : letter);
  if (alphabet === "mathcal" || alphabet === "mathscr") return SCRIPT.get(letter) ?? (capital ? String.fromCodePoint(0x1d49c + at) : letter);
  if (alphabet !== "mathbf" && alphabet !== "boldsymbol" && alphabet !== "bm") return letter;
  if (capital) return String.fromCodePoint(0x1d400 + at);
  if (small >= 0 && small < 26) return String.fromCodePoint(0x1d41a + small);
  return /\d/.test(letter) ? String.fromCodePoint(0x1d7ce + Number(letter)) : letter;
}
