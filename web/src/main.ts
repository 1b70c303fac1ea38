/** Puts the page together. */
import { byId } from './dom';
import { messageOf } from './format';
import { setUpExamples, setUpReport } from './jobs/classic';
import { setUpFiles } from './jobs/files';
import { setUpMandelbrot } from './jobs/mandelbrot';
import { setUpSimulate } from './jobs/simulate';
import { Host } from './pool';
import { SettingsForm, defaults } from './settings';
import { setUpGauges } from './view/gauges';
import { setUpResults } from './view/results';
import { setUpStatus } from './view/status';
import { setUpTabs } from './view/tabs';

const host = new Host();
const form = new SettingsForm((settings, leave) => void host.open(settings, leave));

host.onChange((change) => {
  if (change.is === 'failed') form.complain(messageOf(change.error));
});

setUpStatus(host);
setUpTabs();
setUpGauges(host);
setUpResults(host);
setUpSimulate(host);
setUpFiles(host);
setUpMandelbrot(host);
setUpExamples(host, form);
setUpReport(host);

// On a phone the form would push the live view off the screen.
byId('settings-box', HTMLDetailsElement).open = matchMedia('(min-width: 60rem)').matches;

void host.open(defaults());
