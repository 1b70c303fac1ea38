// `npm run reference`: writes wasm/API.md, the reference of the npm package, from its types and their comments.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Application, Logger, LogLevel, TSConfigReader } from 'typedoc';

const wasm = fileURLToPath(new URL('../../wasm/', import.meta.url));
export const referenceFile = join(wasm, 'API.md');

const HEAD = `<!-- Written by \`npm run reference\` in tests/ from the comments in wasm/ts: change those. -->

# API reference

What the package exports, from its types; the [README](README.md) has the recipes. All times are in ms.
`;
/** The entry points: what each is imported by. */
const ENTRIES = { index: 'weirpool', worker: 'weirpool/worker' };

/** Options of typedoc and of its markdown plugin. */
const OPTIONS = {
  plugin: ['typedoc-plugin-markdown'],
  entryPoints: Object.keys(ENTRIES).map((name) => join(wasm, 'ts', `${name}.ts`)),
  tsconfig: join(wasm, 'tsconfig.json'),
  logLevel: 'Warn',
  readme: 'none',
  router: 'module',
  disableSources: true,
  excludeExternals: true,
  excludeInternal: true,
  excludePrivate: true,
  // What is not exported is written out where it is used.
  validation: { notDocumented: true, notExported: false, invalidLink: true, invalidPath: true },
  requiredToBeDocumented: [
    'Accessor', 'Class', 'Constructor', 'Function', 'Interface', 'Method', 'Property', 'TypeAlias', 'Variable',
  ],
  hideBreadcrumbs: true,
  hideGroupHeadings: true,
  hidePageHeader: true,
  hidePageTitle: true,
  classPropertiesFormat: 'table',
  interfacePropertiesFormat: 'table',
  parametersFormat: 'table',
  typeAliasPropertiesFormat: 'table',
  typeDeclarationFormat: 'table',
};

/** The text of the reference, and what is wrong with its sources: a public member without a comment, a dead link. */
export async function reference() {
  const problems = [];
  class Problems extends Logger {
    log(message, level) {
      if (level >= LogLevel.Warn) problems.push(message);
    }
  }
  const app = await Application.bootstrapWithPlugins(OPTIONS, [new TSConfigReader()]);
  app.logger = new Problems();
  const project = await app.convert();
  if (project === undefined) throw new Error(`the types do not compile:\n${problems.join('\n')}`);
  app.validate(project);
  const folder = mkdtempSync(join(tmpdir(), 'weirpool-reference-'));
  try {
    // Not `generateOutputs`, which writes the outputs of its own defaults too.
    await app.outputs.writeOutput({ name: 'markdown', path: folder }, project);
    const parts = Object.entries(ENTRIES).map(
      ([name, specifier]) => part(specifier, readFileSync(join(folder, `${name}.md`), 'utf8')),
    );
    return { text: linked(HEAD + parts.join('')), problems };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What an entry point exports, under a list of it. */
function part(specifier, text) {
  const list = headings(text).filter(({ level }) => level === 2).map(({ name }) => `[\`${name}\`]()`);
  return `\n# ${specifier}\n\n${list.join(', ')}\n\n${text}`;
}

/** Leads the links to types to their headings: the plugin numbers anchors in another way than those who show headings. */
function linked(text) {
  const types = new Map();
  for (const { level, name, slug } of headings(text)) if (level === 2) types.set(name, slug);
  return text.replace(/\[`(\w+(?:\(\))?)`\]\((?:#[\w-]+)?\)/g, (link, name) => (types.has(name) ? `[\`${name}\`](#${types.get(name)})` : link));
}

/** The headings of a text, with the anchors that GitHub and npm give them. */
export function headings(text) {
  const seen = new Map();
  return [...text.matchAll(/^(#+) (.+)$/gm)].map(([, { length: level }, name]) => {
    const plain = name.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-');
    const nth = seen.get(plain) ?? 0;
    seen.set(plain, nth + 1);
    return { level, name, slug: nth === 0 ? plain : `${plain}-${nth}` };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { text, problems } = await reference();
  writeFileSync(referenceFile, text);
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
