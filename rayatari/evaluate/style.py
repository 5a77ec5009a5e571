"""The look of the report: one column, light and dark, on a phone as on a wide screen."""

CSS = """
:root { color-scheme: light dark; --back: #fbfaf8; --ink: #1d1d22; --soft: #6a6a74; --line: #dddad4;
  --card: #ffffff; --good: #23804f; --bad: #b3402a; --accent: #2f7ed8; }
@media (prefers-color-scheme: dark) { :root { --back: #141418; --ink: #e9e7e3; --soft: #9c9aa4;
  --line: #34343c; --card: #1d1d23; --good: #5fc48f; --bad: #f08a70; --accent: #6aa9f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 68rem; background: var(--back);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { max-width: 46rem; margin: .5rem 0; }
.note, figcaption, small { color: var(--soft); font-size: .85rem; }
.verdict { font-size: 1.1rem; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(13rem, calc(50% - .4rem)), 1fr));
  gap: .8rem; margin: 1.2rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; }
.card b { display: block; font-size: 1.6rem; line-height: 1.3; } .card span { font-size: .9rem; }
.card small { display: block; line-height: 1.35; margin-top: .2rem; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
thead th { font-size: .85rem; color: var(--soft); font-weight: 600; }
tbody th { font-weight: 500; }
@media (max-width: 40rem) { th, td { padding: .35rem .45rem; }
  tbody th { white-space: normal; min-width: 6.5rem; max-width: 9rem; line-height: 1.3; } }
td b { font-weight: 600; } td small { display: block; font-size: .75rem; line-height: 1.35; }
figure { margin: 1rem 0; }
figure > svg { width: 100%; max-width: 46rem; height: auto; font-family: system-ui, sans-serif; }
figure > img { width: 100%; max-width: 62rem; height: auto; display: block; border-radius: .3rem; }
figure > img.narrow { max-width: 41rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 0 1.2rem; }
.strip td, .strip th, .strip tbody th { padding: .15rem .2rem; border: 0; min-width: 0; }
.strip thead th { padding-left: .2rem; } .strip tbody th { vertical-align: middle; font-size: .85rem;
  color: var(--soft); writing-mode: vertical-rl; transform: rotate(180deg); text-align: center; }
.strip img { width: 192px; height: 252px; display: block; image-rendering: pixelated; border-radius: .2rem; }
dt { font-weight: 600; margin-top: .7rem; } dd { margin: .1rem 0 0; max-width: 46rem; color: var(--soft); }
details { margin: .8rem 0; } summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .8rem; font-size: .8rem; line-height: 1.45; }
"""
