// Made of presets.json by build/presets.mjs.

/**
 * @typedef {{ kind: string, default?: string, optional?: boolean }} Parameter
 *
 * @typedef {object} Preset
 * @property {Record<string, Parameter>} parameters
 * @property {string} issuer @property {string} jwks @property {string} audience
 * @property {any} algorithms @property {any} types @property {any} requiredClaims
 * @property {Record<string, string | string[]>} [requiredValues]
 */

/** @type {Record<string, Preset>} */
export const TABLE = {
  "auth0": {"parameters":{"domain":{"kind":"host"},"audience":{"kind":"text"}},"issuer":"https://{domain}/","jwks":"https://{domain}/.well-known/jwks.json","audience":"{audience}","algorithms":["RS256"],"types":["JWT","at+jwt"],"requiredClaims":["exp","iat","sub"]},
  "authentik": {"parameters":{"url":{"kind":"url"},"application":{"kind":"segment"},"audience":{"kind":"text"}},"issuer":"{url}/application/o/{application}/","jwks":"{url}/application/o/{application}/jwks/","audience":"{audience}","algorithms":["RS256","ES256"],"types":["JWT"],"requiredClaims":["exp","iat","sub"]},
  "clerk": {"parameters":{"domain":{"kind":"host"},"audience":{"kind":"text","default":"unchecked"},"origins":{"kind":"text","optional":true}},"issuer":"https://{domain}","jwks":"https://{domain}/.well-known/jwks.json","audience":"{audience}","algorithms":["RS256"],"types":["JWT"],"requiredClaims":["exp","iat","sub","sid"],"requiredValues":{"azp":"{origins}"}},
  "cloudflare-access": {"parameters":{"team":{"kind":"segment"},"audience":{"kind":"text"}},"issuer":"https://{team}.cloudflareaccess.com","jwks":"https://{team}.cloudflareaccess.com/cdn-cgi/access/certs","audience":"{audience}","algorithms":["RS256"],"types":["JWT",null],"requiredClaims":["exp","iat"],"requiredValues":{"type":"app"}},
  "cognito": {"parameters":{"region":{"kind":"segment"},"pool":{"kind":"segment"},"client":{"kind":"text"}},"issuer":"https://cognito-idp.{region}.amazonaws.com/{pool}","jwks":"https://cognito-idp.{region}.amazonaws.com/{pool}/.well-known/jwks.json","audience":"unchecked","algorithms":["RS256"],"types":[null],"requiredClaims":["exp","iat","sub","jti"],"requiredValues":{"token_use":"access","client_id":"{client}"}},
  "cognito-id": {"parameters":{"region":{"kind":"segment"},"pool":{"kind":"segment"},"client":{"kind":"text"}},"issuer":"https://cognito-idp.{region}.amazonaws.com/{pool}","jwks":"https://cognito-idp.{region}.amazonaws.com/{pool}/.well-known/jwks.json","audience":"{client}","algorithms":["RS256"],"types":[null],"requiredClaims":["exp","iat","sub","jti"],"requiredValues":{"token_use":"id"}},
  "entra": {"parameters":{"tenant":{"kind":"guid"},"audience":{"kind":"text"},"authority":{"kind":"host","default":"login.microsoftonline.com"}},"issuer":"https://{authority}/{tenant}/v2.0","jwks":"https://{authority}/{tenant}/discovery/v2.0/keys","audience":"{audience}","algorithms":["RS256"],"types":["JWT"],"requiredClaims":["exp","iat","sub"]},
  "entra-v1": {"parameters":{"tenant":{"kind":"guid"},"audience":{"kind":"text"}},"issuer":"https://sts.windows.net/{tenant}/","jwks":"https://login.microsoftonline.com/{tenant}/discovery/keys","audience":"{audience}","algorithms":["RS256"],"types":["JWT"],"requiredClaims":["exp","iat","sub"]},
  "firebase": {"parameters":{"project":{"kind":"segment"}},"issuer":"https://securetoken.google.com/{project}","jwks":"https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com","audience":"{project}","algorithms":["RS256"],"types":["JWT"],"requiredClaims":["exp","iat","sub"]},
  "github-actions": {"parameters":{"audience":{"kind":"text"},"issuer":{"kind":"issuer","default":"https://token.actions.githubusercontent.com"}},"issuer":"{issuer}","jwks":"{issuer}/.well-known/jwks","audience":"{audience}","algorithms":["RS256"],"types":["JWT"],"requiredClaims":["exp","iat","sub","jti"]},
  "google": {"parameters":{"audience":{"kind":"text"}},"issuer":"https://accounts.google.com","jwks":"https://www.googleapis.com/oauth2/v3/certs","audience":"{audience}","algorithms":["RS256"],"types":["JWT"],"requiredClaims":["exp","iat","sub"]},
  "hydra": {"parameters":{"url":{"kind":"url"},"audience":{"kind":"text"},"issuer":{"kind":"issuer","default":"{url}"}},"issuer":"{issuer}","jwks":"{url}/.well-known/jwks.json","audience":"{audience}","algorithms":["RS256","ES256"],"types":["JWT"],"requiredClaims":["exp","iat","sub","jti"]},
  "keycloak": {"parameters":{"url":{"kind":"url"},"realm":{"kind":"segment"},"audience":{"kind":"text"}},"issuer":"{url}/realms/{realm}","jwks":"{url}/realms/{realm}/protocol/openid-connect/certs","audience":"{audience}","algorithms":["RS256","ES256","EdDSA"],"types":["JWT","at+jwt"],"requiredClaims":["exp","iat","sub","jti"],"requiredValues":{"typ":["Bearer","DPoP"]}},
  "kubernetes": {"parameters":{"audience":{"kind":"text"},"issuer":{"kind":"issuer","default":"https://kubernetes.default.svc.cluster.local"},"jwks":{"kind":"url","default":"https://kubernetes.default.svc/openid/v1/jwks"}},"issuer":"{issuer}","jwks":"{jwks}","audience":"{audience}","algorithms":["RS256","ES256"],"types":[null],"requiredClaims":["exp","iat","sub"]},
  "okta": {"parameters":{"domain":{"kind":"host"},"audience":{"kind":"text"},"server":{"kind":"segment","default":"default"}},"issuer":"https://{domain}/oauth2/{server}","jwks":"https://{domain}/oauth2/{server}/v1/keys","audience":"{audience}","algorithms":["RS256"],"types":[null,"JWT","application/okta-internal-at+jwt"],"requiredClaims":["exp","iat","sub","jti"]},
  "supabase": {"parameters":{"url":{"kind":"url"},"audience":{"kind":"text","default":"authenticated"}},"issuer":"{url}/auth/v1","jwks":"{url}/auth/v1/.well-known/jwks.json","audience":"{audience}","algorithms":["ES256","RS256","EdDSA"],"types":["JWT"],"requiredClaims":["exp","iat","sub"]},
  "workos": {"parameters":{"client":{"kind":"segment"},"audience":{"kind":"text","default":"unchecked"},"issuer":{"kind":"issuer","default":"https://api.workos.com/user_management/{client}"}},"issuer":"{issuer}","jwks":"https://api.workos.com/sso/jwks/{client}","audience":"{audience}","algorithms":["RS256"],"types":[null,"JWT"],"requiredClaims":["exp","iat","sub","jti","sid"]},
  "zitadel": {"parameters":{"url":{"kind":"url"},"audience":{"kind":"text"}},"issuer":"{url}","jwks":"{url}/oauth/v2/keys","audience":"{audience}","algorithms":["RS256","ES256","EdDSA"],"types":["JWT"],"requiredClaims":["exp","iat","sub","jti"]},
};
