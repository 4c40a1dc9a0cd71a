// Answers at once what would put a box over the call and wait for a person, as somebody who declines. A new-document
// script, before any of the page's, in every frame of its process.
(() => {
  const declined = () => Promise.reject(new DOMException("nobody is there", "NotAllowedError"));
  Object.assign(window, { alert: () => {}, confirm: () => false, prompt: () => null, print: () => {}, open: () => null });
  Element.prototype.requestPointerLock = declined; // "press Esc to show your cursor"
  HTMLVideoElement.prototype.requestPictureInPicture = declined;
  // No permission covers these.
  for (const name of ["PaymentRequest", "documentPictureInPicture", "EyeDropper"]) delete window[name];
  for (const name of ["get", "create", "store"]) { // security keys, wallets, passwords
    if (window.CredentialsContainer) CredentialsContainer.prototype[name] = declined;
  }
})();
