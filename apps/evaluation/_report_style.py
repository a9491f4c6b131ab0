"""The style of a report."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark;
  --back: #ffffff; --raised: #f6f7f8; --text: #1b1e22; --muted: #5a616a; --line: #dcdfe3; --link: #1d5aa6;
  --right: #1a6e3c; --wrong: #b3261e; --node: #f6f7f8; --node-line: #b9bfc7; --edge: #7b838d;
  --r0: #2460ad; --r1: #ad4e08; --r2: #1a7554; --r3: #7646ad; --r4: #a62f55; --r5: #5a616a;
  --prefill: #9dbbe0; --decode: #3c72b4; --tools: #cda24a; --chip: #ffffff; }
@media (prefers-color-scheme: dark) { :root {
  --back: #15171a; --raised: #1d2024; --text: #e3e6ea; --muted: #9da5ae; --line: #32373d; --link: #86b6f2;
  --right: #6fcf97; --wrong: #f28b82; --node: #22262b; --node-line: #4d555e; --edge: #87909a;
  --r0: #82b3f2; --r1: #f0a766; --r2: #63c99f; --r3: #c09bec; --r4: #f08fab; --r5: #a9b0b8;
  --prefill: #36557c; --decode: #6fa3e0; --tools: #cda24a; --chip: #15171a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
.page { max-width: 1320px; margin: 0 auto; padding: 1.4rem 1.2rem 4rem; }
h1 { font-size: 1.45rem; margin: 0 0 .15rem; font-weight: 650; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem; font-weight: 650; }
h3 { font-size: .88rem; margin: 1.2rem 0 .4rem; font-weight: 600; }
p { margin: .3rem 0 .6rem; max-width: 78ch; }
small, .muted, caption span { color: var(--muted); }
a { color: var(--link); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin-top: .7rem; }
.skip { position: absolute; left: -999rem; }
.skip:focus { position: static; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.warn { border-left: 3px solid var(--r1); padding: .2rem .7rem; background: var(--raised); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0 0 .3rem; font-size: .88rem; }
caption span { font-weight: 400; margin-left: .4rem; }
th, td { padding: .26rem .7rem .26rem 0; text-align: right; border-top: 1px solid var(--line);
  vertical-align: baseline; }
th { font-weight: 500; } thead td { border-top: 0; }
thead th { border-top: 0; color: var(--muted); font-size: .8rem; }
th:first-child { text-align: left; } tr.sum > * { font-weight: 650; }
.numbers td { white-space: pre; }
.overview { width: 100%; } .overview th[scope=row] { min-width: 11rem; }
.tables { columns: 34rem; column-gap: 3rem; }
.tables > div { break-inside: avoid; margin-bottom: 1.7rem; }
.tables table { width: 100%; }
.facts td, .facts th { text-align: left; }
.facts td { overflow-wrap: anywhere; min-width: 9rem; }
.facts code { font-size: .8rem; }
.charts { display: grid; gap: 0 3rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
.charts > div { min-width: 0; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.chip { display: inline-block; min-width: 1.5em; padding: 0 .3em; border-radius: 3px; text-align: center;
  font-weight: 650; font-size: .74rem; line-height: 1.45; color: var(--chip); }
.r0 { background: var(--r0); } .r1 { background: var(--r1); } .r2 { background: var(--r2); }
.r3 { background: var(--r3); } .r4 { background: var(--r4); } .r5 { background: var(--r5); }
.s0 { stroke: var(--r0); } .s1 { stroke: var(--r1); } .s2 { stroke: var(--r2); }
.s3 { stroke: var(--r3); } .s4 { stroke: var(--r4); } .s5 { stroke: var(--r5); }
.f0 { fill: var(--r0); } .f1 { fill: var(--r1); } .f2 { fill: var(--r2); }
.f3 { fill: var(--r3); } .f4 { fill: var(--r4); } .f5 { fill: var(--r5); }
form { display: flex; flex-wrap: wrap; gap: .6rem; align-items: end; margin-bottom: .7rem; }
label { font-size: .78rem; color: var(--muted); display: grid; gap: .15rem; }
label.wide { flex: 1 1 16rem; }
input, select, button.more { font: inherit; color: inherit; background: var(--back); width: 100%;
  border: 1px solid var(--node-line); border-radius: 4px; padding: .3rem .5rem; }
button.more { width: auto; margin-top: .8rem; cursor: pointer; }
#count { color: var(--muted); font-size: .85rem; }
#items { width: 100%; table-layout: fixed; }
#items th.verdict { width: 3.1rem; } #items td { text-align: center; } #items th { text-align: left; }
#items thead th.verdict { text-align: center; }
#items tbody > tr.item { cursor: pointer; } #items tbody > tr.item:hover { background: var(--raised); }
#items button { all: unset; cursor: pointer; display: block; width: 100%; overflow-wrap: anywhere;
  unicode-bidi: isolate; }
#items button:focus-visible { outline: 2px solid var(--link); }
#items button::before { content: "\\25B8"; color: var(--muted); display: inline-block; width: 1.1em; }
#items button[aria-expanded=true]::before { content: "\\25BE"; }
#items .where { color: var(--muted); font-size: .76rem; padding-left: 1.25em; font-weight: 400;
  overflow-wrap: anywhere; }
.right { color: var(--right); } .wrong { color: var(--wrong); } .mark { font-weight: 700; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
#items td.detail { text-align: left; padding: .4rem 0 1.2rem 1.25em; border-top: 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: .8rem;
  align-items: start; }
.panel { border: 1px solid var(--line); border-radius: 5px; padding: .6rem .8rem; min-width: 0; }
.panel h3 { margin: 0 0 .4rem; }
.panel p { overflow-wrap: anywhere; unicode-bidi: isolate; }
.panel pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--raised); padding: .5rem .6rem;
  margin: .3rem 0; border-radius: 4px; font-size: .78rem; max-height: 24rem; overflow-y: auto;
  unicode-bidi: isolate; }
.panel summary { cursor: pointer; font-size: .82rem; color: var(--muted); margin-top: .4rem; }
.panel dl { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin: .5rem 0 0; font-size: .8rem; }
.panel dl div { display: flex; gap: .35rem; } .panel dt { color: var(--muted); }
.panel dd { margin: 0; font-variant-numeric: tabular-nums; }
@media (max-width: 640px) { .page { padding: 1rem .8rem 3rem; } #items td.detail { padding-left: 0; }
  #items th.verdict { width: 2.3rem; } }
"""
