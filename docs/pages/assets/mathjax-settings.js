// MathJax typesets what arithmatex marks, and nothing else. The program itself lies beside this file, so that the
// equations need no network: npm's package mathjax 3.2.2, es5/tex-svg.js (Apache License 2.0).
window.MathJax = {
  tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]], processEscapes: true },
  svg: { fontCache: "global" },
  options: { ignoreHtmlClass: ".*|", processHtmlClass: "arithmatex" },
};
