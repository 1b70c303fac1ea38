/** The kinds of jobs as tabs: arrow keys, Home and End move between them. */
import { button, byId } from '../dom';

const TABS = ['simulate', 'files', 'mandelbrot'] as const;

export function setUpTabs(): void {
  const tabs = TABS.map((name) => button(`tab-${name}`));
  const panels = TABS.map((name) => byId(`panel-${name}`, HTMLElement));

  const select = (index: number): void => {
    tabs.forEach((tab, i) => {
      tab.setAttribute('aria-selected', String(i === index));
      tab.tabIndex = i === index ? 0 : -1;
    });
    panels.forEach((panel, i) => {
      panel.hidden = i !== index;
    });
  };

  tabs.forEach((tab, index) => {
    tab.addEventListener('click', () => select(index));
    tab.addEventListener('keydown', (event) => {
      const target = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (target === undefined) return;
      event.preventDefault();
      const next = (target + tabs.length) % tabs.length;
      select(next);
      tabs[next]?.focus();
    });
  });
}
